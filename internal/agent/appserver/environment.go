package appserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// header stands at the top of every file.
const header = "# Written by foobar. A change by hand is drift, which the next apply undoes."

// newText returns a file that has its header.
func newText() *converge.Text {
	t := &converge.Text{}
	t.Own(header)
	return t
}

// environmentFile writes variables as systemd reads them from an
// EnvironmentFile= (systemd.exec(5)): within double quotes a newline stands
// for itself, and a backslash keeps the four characters that quotes leave
// special. Nothing is expanded there, neither variables nor "%".
func environmentFile(variables map[string]string, at api.Pointer) *converge.Text {
	t := newText()
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		t.From(at.At(name), "%s=\"%s\"", name, escapeVariable(variables[name]))
	}
	return t
}

func escapeVariable(value string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`).Replace(value)
}

// parseEnvironment reads what [environmentFile] writes. An error holds no
// values.
func parseEnvironment(content []byte) (map[string]string, error) {
	variables := map[string]string{}
	rest := string(content)
	for rest != "" {
		if rest[0] == '#' || rest[0] == '\n' {
			_, rest, _ = strings.Cut(rest, "\n")
			continue
		}
		name, after, ok := strings.Cut(rest, `="`)
		if !ok || strings.Contains(name, "\n") {
			return nil, fmt.Errorf("parse an environment file: found no variable after %d of them", len(variables))
		}
		value, remaining, ok := unquote(after)
		if !ok {
			return nil, fmt.Errorf("parse an environment file: the value of %s does not end", name)
		}
		variables[name] = value
		rest = remaining
	}
	return variables, nil
}

// unquote reads a value up to its closing quote and newline.
func unquote(quoted string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"':
			return b.String(), strings.TrimPrefix(quoted[i+1:], "\n"), true
		case c == '\\' && i+1 < len(quoted):
			i++
			b.WriteByte(quoted[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
