package api

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretDoesNotShow(t *testing.T) {
	const text = "hunter2"
	s := Secret(text)
	w := Write{Secrets: map[string]Secret{"TOKEN": s}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "secret", s, "value", fmt.Sprint(w))
	shown := []string{
		fmt.Sprint(s), fmt.Sprintf("%s %v %+v %#v %q %x %d %10.3s", s, s, s, s, s, s, s, s), s.String(), s.GoString(),
		fmt.Sprintf("%v %+v %#v", w, w, w), fmt.Sprintf("%v", []Secret{s}), fmt.Sprintf("%+v", struct{ S Secret }{s}),
		errors.New(fmt.Sprint(s)).Error(), log.String(),
	}
	for _, got := range shown {
		if strings.Contains(got, text) || strings.Contains(got, fmt.Sprintf("%x", text)) {
			t.Errorf("%q shows it", got)
		}
	}
}

func TestSecretIsThereWhereItIsNeeded(t *testing.T) {
	s := Secret("hunter2")
	if s.Reveal() != "hunter2" || string(Encode(s)) != `"hunter2"` {
		t.Errorf("%q %s", s.Reveal(), Encode(s))
	}
}
