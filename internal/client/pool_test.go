package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

func TestPoolGivesEachTargetOneMachine(t *testing.T) {
	dialled := false
	o := options()
	o.Dial = func(context.Context, string, string) (net.Conn, error) {
		dialled = true
		return nil, errors.New("no network here")
	}
	credentials, err := client.Admin(signer(t, seedText, "shop"), "test")
	if err != nil {
		t.Fatal(err)
	}
	pool := client.NewPool(credentials, o)
	get := func(target client.Target) *client.Machine {
		m, err := pool.Machine(target)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	one := get(client.Target{Name: "web1", Address: "10.0.0.1"})
	if one != get(client.Target{Name: "web1", Address: "10.0.0.1:9443"}) {
		t.Error("a spelled-out port makes another machine")
	}
	if one == get(client.Target{Name: "web1", Address: "10.0.0.1", Incarnation: 2}) {
		t.Error("another incarnation is the same machine")
	}
	if dialled {
		t.Error("something was dialled before the first call")
	}
	_, err = one.Health(t.Context())
	isA[*client.Unreachable](t, err)
}

func TestAddresses(t *testing.T) {
	credentials, err := client.Admin(signer(t, seedText, "shop"), "test")
	if err != nil {
		t.Fatal(err)
	}
	pool := client.NewPool(credentials, options())
	for address, want := range map[string]string{
		"10.0.0.1": "10.0.0.1:9443", "10.0.0.1:1": "10.0.0.1:1", "web1.example": "web1.example:9443",
		"fd00::1": "[fd00::1]:9443", "[fd00::1]": "[fd00::1]:9443", "[fd00::1]:8443": "[fd00::1]:8443",
		"": "", ":9443": "", "10.0.0.1:": "", "10.0.0.1:0": "", "10.0.0.1:70000": "", "10.0.0.1:x": "", "a:b:c": "",
	} {
		m, err := pool.Machine(client.Target{Name: "web1", Address: address})
		if want == "" {
			if err == nil {
				t.Errorf("%q was accepted as %q", address, m.Target().Address)
			}
			continue
		}
		if err != nil || m.Target().Address != want {
			t.Errorf("%q: got %v, %v, want %q", address, m, err, want)
		}
	}
	for name, target := range map[string]client.Target{
		"a bad name":        {Name: "Web1", Address: "10.0.0.1"},
		"a bad key":         {Name: "web1", Address: "10.0.0.1", Key: "sha256:x"},
		"a bad incarnation": {Name: "web1", Address: "10.0.0.1", Incarnation: -1},
	} {
		if _, err := pool.Machine(target); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestLongRunsRenewTheirCertificate(t *testing.T) {
	f := newFake(t)
	present := now()
	o := options()
	o.Now = func() time.Time { return present }
	m := call(t, f.target(), o)
	serial := func() string {
		if _, err := m.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
		calls, _ := f.requests(http.MethodGet)
		return fmt.Sprint(calls[len(calls)-1].TLS.PeerCertificates[0].SerialNumber)
	}
	first := serial()
	present = now().Add(9 * time.Minute)
	if serial() != first {
		t.Error("a fresh certificate was replaced")
	}
	present = now().Add(11 * time.Minute)
	second := serial()
	if second == first {
		t.Error("a certificate was used until its end")
	}
	if serial() != second {
		t.Error("each call mints a certificate")
	}
}

func TestGiven(t *testing.T) {
	s := signer(t, seedText, "shop")
	reader, err := s.Client(api.RoleReader, "ci", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	another, err := s.Client(api.RoleReader, "ci", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ca := pki.EncodeCertificate(s.Certificate())
	credentials, err := client.Given(reader.CertificatePEM(), reader.KeyPEM(), ca)
	if err != nil {
		t.Fatal(err)
	}
	if credentials.Deployment() != "shop" || credentials.CanWrite() {
		t.Errorf("deployment %q, can write %t", credentials.Deployment(), credentials.CanWrite())
	}
	f := newFake(t)
	m, err := client.NewPool(credentials, options()).Machine(f.target())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Health(t.Context()); err != nil {
		t.Error(err)
	}
	own := selfSigned(t, "shop", "web1")
	machine := node(t, s, "web1", 1)
	for name, test := range map[string]struct {
		certificate string
		key         api.Secret
		ca, want    string
	}{
		"no certificate":           {"", reader.KeyPEM(), ca, "the client certificate:"},
		"no key":                   {reader.CertificatePEM(), "", ca, "the client key:"},
		"no CA":                    {reader.CertificatePEM(), reader.KeyPEM(), "", "has 0 certificates"},
		"another's key":            {reader.CertificatePEM(), another.KeyPEM(), ca, "do not belong together"},
		"a machine's certificate":  {pki.EncodeCertificate(machine.Leaf), reader.KeyPEM(), ca, "is that of machine web1"},
		"one that is not enrolled": {pki.EncodeCertificate(own.Leaf), reader.KeyPEM(), ca, "is that of machine web1"},
		"a CA's certificate":       {ca, reader.KeyPEM(), ca, "has 0 URIs"},
	} {
		if _, err := client.Given(test.certificate, test.key, test.ca); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want it to hold %q", name, err, test.want)
		}
	}
}

func TestAdminRefuses(t *testing.T) {
	s := signer(t, seedText, "shop")
	if _, err := client.Admin(s, ""); err == nil {
		t.Error("no actor was accepted")
	}
	if _, err := client.Admin(s, "test", s, s, s); err == nil || !strings.Contains(err.Error(), "at most 3 are allowed") {
		t.Errorf("four CAs: %v", err)
	}
	if _, err := client.Admin(s, "test", signer(t, otherSeedText, "bank")); err == nil || !strings.Contains(err.Error(), `of deployment "bank"`) {
		t.Errorf("a CA of another deployment: %v", err)
	}
}

func TestCredentialsAreNotShown(t *testing.T) {
	credentials, err := client.Admin(signer(t, seedText, "shop"), "test")
	if err != nil {
		t.Fatal(err)
	}
	pool := client.NewPool(credentials, client.Options{Now: now, Random: rand.Reader})
	m, err := pool.Machine(client.Target{Name: "web1", Address: "10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v", credentials, credentials), fmt.Sprintf("%+v", pool), fmt.Sprintf("%+v", m)} {
		for _, sign := range []string{"000102", "[0 1 2 3", "AAECAw"} {
			if strings.Contains(text, sign) {
				t.Errorf("%s shows the seed", text)
			}
		}
	}
}
