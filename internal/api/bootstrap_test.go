package api_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// certificate returns a self-signed certificate in PEM.
func certificate(t testing.TB, ca bool) string {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		BasicConstraintsValid: true, IsCA: ca,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

const keyText = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func validBootstrap(t testing.TB) api.Bootstrap {
	return api.Bootstrap{
		V: api.BootstrapVersion, Deployment: "shop", Node: "web1", Incarnation: 2,
		CA: []string{certificate(t, true)}, EnrollKey: keyText, Listen: ":9443",
	}
}

func TestParseBootstrapReadsWhatJSONWrites(t *testing.T) {
	want := validBootstrap(t)
	got, err := api.ParseBootstrap(want.JSON())
	if err != nil {
		t.Fatal(err)
	}
	if string(got.JSON()) != string(want.JSON()) {
		t.Errorf("got %s, want %s", got.JSON(), want.JSON())
	}
	if key, err := got.Key(); err != nil || base64.StdEncoding.EncodeToString(key) != keyText {
		t.Errorf("the key is %x, %v", key, err)
	}
}

func TestParseBootstrapRefuses(t *testing.T) {
	text := func(change func(*api.Bootstrap)) string {
		b := validBootstrap(t)
		change(&b)
		return string(b.JSON())
	}
	whole := text(func(*api.Bootstrap) {})
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "is empty"},
		{"only space", " \n", "is empty"},
		{"half of it", whole[:len(whole)/2], "is cut off after"},
		{"all but the last brace", strings.TrimRight(whole, "}\n"), "is cut off after"},
		{"no JSON", "#cloud-config\n", "is not JSON at byte 1"},
		{"no object", `"x"`, `is not an object with a number "v"`},
		{"no version", `{}`, `has no version "v"`},
		{"a later version, whatever else is in it", `{"v":2,"new":1}`, "has version 2, and this agent reads version 1"},
		{"an unknown member", strings.Replace(whole, `{"v":1`, `{"v":1,"x":1`, 1), `"/x" is unknown here`},
		{"a member twice", strings.Replace(whole, `{"v":1`, `{"v":1,"v":1`, 1), `"/v" is given twice`},
		{"a wrong type", strings.Replace(whole, `"incarnation":2`, `"incarnation":"2"`, 1), `"/incarnation" found a string`},
		{"more after it", whole + whole, "is not JSON at byte"},
		{"too much", whole + strings.Repeat(" ", 17<<10), "at most 16384 are read"},
		{"no deployment", text(func(b *api.Bootstrap) { b.Deployment = "" }), "/deployment:"},
		{"a bad name", text(func(b *api.Bootstrap) { b.Node = "Web_1" }), "/node:"},
		{"incarnation 0", text(func(b *api.Bootstrap) { b.Incarnation = 0 }), "/incarnation is 0"},
		{"no CA", text(func(b *api.Bootstrap) { b.CA = nil }), "/ca: has 0 certificates; 1 to 3 are allowed"},
		{"four CAs", text(func(b *api.Bootstrap) { b.CA = append(b.CA, b.CA[0], b.CA[0], b.CA[0]) }), "/ca: has 4 certificates"},
		{"two CAs in one element", text(func(b *api.Bootstrap) { b.CA[0] += b.CA[0] }), "/ca: element 0 is not one PEM certificate"},
		{"no certificate", text(func(b *api.Bootstrap) { b.CA[0] = "x" }), "/ca: element 0 is not one PEM certificate"},
		{"a certificate that is no CA", text(func(b *api.Bootstrap) { b.CA[0] = certificate(t, false) }), "which is no CA"},
		{"a short key", text(func(b *api.Bootstrap) { b.EnrollKey = "AAEC" }), "/enroll_key: is not 32 bytes"},
		{"no port", text(func(b *api.Bootstrap) { b.Listen = "10.0.0.1" }), `/listen: "10.0.0.1" is not "host:port"`},
		{"a port that is none", text(func(b *api.Bootstrap) { b.Listen = ":70000" }), "/listen:"},
		{"a name to listen on", text(func(b *api.Bootstrap) { b.Listen = "web1:9443" }), "/listen:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := api.ParseBootstrap([]byte(test.text))
			if err == nil {
				t.Fatal("it was accepted")
			}
			if !strings.HasPrefix(err.Error(), "bootstrap: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to hold %q", err, test.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than one line: %q", err)
			}
			if strings.Contains(err.Error(), keyText) {
				t.Errorf("the error shows the key: %q", err)
			}
		})
	}
}

func TestUserDataHoldsTheDocumentAsItIs(t *testing.T) {
	b := validBootstrap(t)
	data := b.UserData()
	if !strings.HasPrefix(data, "#cloud-config\n") || !strings.HasSuffix(data, "      "+string(b.JSON())) {
		t.Errorf("got %s", data)
	}
	if !strings.Contains(data, `permissions: "0600"`) || !strings.Contains(data, "path: /etc/foobar/bootstrap.json\n") {
		t.Errorf("got %s", data)
	}
}

func TestKeyPin(t *testing.T) {
	pin := api.KeyPin([]byte("key"))
	if err := api.CheckKeyPin(pin); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]string{
		"empty": "", "no prefix": pin[7:], "short": pin[:70], "upper case": strings.ToUpper(pin), "no digits": "sha256:" + strings.Repeat("x", 64),
	} {
		if api.CheckKeyPin(bad) == nil {
			t.Errorf("%s: %q was accepted", name, bad)
		}
	}
}

func FuzzParseBootstrap(f *testing.F) {
	f.Add(validBootstrap(f).JSON())
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":1,"ca":["-----BEGIN CERTIFICATE-----`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := api.ParseBootstrap(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than one line: %q", err)
			}
			return
		}
		if again, err := api.ParseBootstrap(b.JSON()); err != nil || string(again.JSON()) != string(b.JSON()) {
			t.Errorf("%s does not survive a round trip: %v", data, err)
		}
	})
}
