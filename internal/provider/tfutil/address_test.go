package tfutil_test

import (
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

func TestAddresses(t *testing.T) {
	for text, want := range map[string]struct {
		host string
		port int
	}{
		"10.0.0.1":           {"10.0.0.1", 9443},
		"10.0.0.1:443":       {"10.0.0.1", 443},
		"web1":               {"web1", 9443},
		"web1.example.:9000": {"web1.example.", 9000},
		"2001:db8::1":        {"2001:db8::1", 9443},
		"[2001:db8::1]":      {"2001:db8::1", 9443},
		"[2001:db8::1]:443":  {"2001:db8::1", 443},
	} {
		if host, port, err := tfutil.SplitAddress(text); err != nil || host != want.host || port != want.port {
			t.Errorf("%q is %q, %d, %v; want %+v", text, host, port, err, want)
		}
	}
	for _, text := range []string{"", "https://web1", "web1:0", "web1:70000", "web1:http", "web 1", "a:b:c", "-web1", ":9443", "web1/x"} {
		if _, _, err := tfutil.SplitAddress(text); err == nil {
			t.Errorf("%q is taken for an address", text)
		}
	}
}

func TestImportIDs(t *testing.T) {
	for text, want := range map[string]tfutil.ImportID{
		"web1@10.0.0.1/shop":          {Machine: "web1", Address: "10.0.0.1", Name: "shop"},
		"web1@web1.example:9000/shop": {Machine: "web1", Address: "web1.example:9000", Name: "shop"},
		"web1@[2001:db8::1]:443/shop": {Machine: "web1", Address: "[2001:db8::1]:443", Name: "shop"},
		"web1@2001:db8::1/shop":       {Machine: "web1", Address: "2001:db8::1", Name: "shop"},
	} {
		got, err := tfutil.ParseImportID(text)
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%q is written %q", text, got)
		}
	}
	for text, reason := range map[string]string{
		"shop":              "is not <machine>@<address>/<name>",
		"10.0.0.1/shop":     `"10.0.0.1/shop" is not <machine>@<address>/<name>`,
		"Web1@10.0.0.1/x":   "the machine before the @",
		"web1@/shop":        "the address after the @",
		"web1@10.0.0.1/":    "the name after the slash",
		"web1@10.0.0.1/X y": "the name after the slash",
	} {
		if _, err := tfutil.ParseImportID(text); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v; want a reason with %q", text, err, reason)
		}
	}
}

func FuzzImportID(f *testing.F) {
	f.Add("web1@[2001:db8::1]:443/shop")
	f.Add("web1@10.0.0.1/shop")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := tfutil.ParseImportID(text)
		if err == nil && id.String() != text {
			t.Errorf("%q is written %q", text, id)
		}
	})
}
