package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
		text string
	}{
		{"0s", 0, "0s"},
		{"0", 0, "0s"},
		{"1ms", time.Millisecond, "1ms"},
		{"1500ms", 1500 * time.Millisecond, "1.5s"},
		{"2m0s", 2 * time.Minute, "2m"},
		{"120s", 2 * time.Minute, "2m"},
		{"1h0m0s", time.Hour, "1h"},
		{"1h0m1s", time.Hour + time.Second, "1h0m1s"},
		{"1h10m", 70 * time.Minute, "1h10m"},
		{"10m", 10 * time.Minute, "10m"},
		{"24h", 24 * time.Hour, "24h"},
		{"1m30s", 90 * time.Second, "1m30s"},
	}
	for _, test := range tests {
		got, err := ParseDuration(test.in)
		if err != nil || time.Duration(got) != test.want || got.String() != test.text {
			t.Errorf("%s: %d %q, %v; want %d %q", test.in, got, got, err, test.want, test.text)
		}
		if got.Milliseconds() != test.want.Milliseconds() {
			t.Errorf("%s: %d ms", test.in, got.Milliseconds())
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":       "is not a duration: write a number with a unit",
		"5":      "is not a duration",
		"2 s":    "is not a duration",
		"1d":     "is not a duration",
		"-1s":    "is not a whole number of milliseconds from 0",
		"1us":    "is not a whole number of milliseconds",
		"1.5ms":  "is not a whole number of milliseconds",
		"9e999h": "is not a duration",
	} {
		if _, err := ParseDuration(in); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"`+in+`"`) {
			t.Errorf("%q: %v, want …%s…", in, err, want)
		}
	}
}

func TestDurationInJSON(t *testing.T) {
	var got struct {
		D Duration `json:"D"`
	}
	if err := json.Unmarshal([]byte(`{"D":"90s"}`), &got); err != nil || string(Encode(got)) != `{"D":"1m30s"}` {
		t.Errorf("%s, %v", Encode(got), err)
	}
	for _, text := range []string{`{"D":90}`, `{"D":"90"}`, `{"D":["90s"]}`, `{"D":null}`} {
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, text := range []string{"2s", "1h0m0s", "1.5ms", "-3m", "10m0.001s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			return
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q became %d, whose text %q is %d, %v", text, d, d, again, err)
		}
	})
}
