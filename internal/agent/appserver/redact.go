package appserver

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// shower returns text of an app as people may see it.
type shower func(text string) string

// shows returns what shows the words of an app server's app, whether it logged them or
// sent them to a health check: without the values that its slots are started with and
// without the known ones, which are those of the versions that are on their way in or
// out. Where the values cannot be read, neither can the words be shown.
func (k *Kind) shows(l layout, known ...map[string]api.Secret) (shower, error) {
	var values []string
	for _, slot := range slots() {
		given, err := k.machine.secrets(l, slot)
		if err != nil {
			return nil, err
		}
		values = slices.AppendSeq(values, maps.Values(given))
	}
	for _, secrets := range known {
		for _, secret := range secrets {
			values = append(values, secret.Reveal())
		}
	}
	redact := redactor(values)
	return func(text string) string { return api.Visible(redact.Replace(text)) }, nil
}

// show is shows for a single text. It reads the values when it is called.
func (k *Kind) show(l layout, known ...map[string]api.Secret) shower {
	return func(text string) string {
		show, err := k.shows(l, known...)
		if err != nil {
			return "(what it said cannot be shown: " + err.Error() + ")"
		}
		return show(text)
	}
}

const redacted = "(secret)"

// redactor replaces secret values, however short, in what an app says. A value
// of several lines is replaced line by line, as the journal splits it; and the
// forms in which JSON and URLs carry it are replaced too.
func redactor(values []string) *strings.Replacer {
	var forms []string
	for _, value := range values {
		for line := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == '\n' || r == '\r' }) {
			quoted, _ := json.Marshal(line) // a string always has a JSON form
			forms = append(forms, line, string(quoted[1:len(quoted)-1]), url.QueryEscape(line), url.PathEscape(line))
		}
	}
	// Longest first: a secret that is part of another must not leave its rest.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, redacted)
	}
	return strings.NewReplacer(pairs...)
}
