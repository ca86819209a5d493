package pki_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

func now() time.Time { return time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC) }

func signer(t testing.TB, deployment string) pki.Signer {
	return pki.Signer{Authority: authority(t, deployment), Now: now, Random: rand.Reader}
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func node(t testing.TB, s pki.Signer, name string, incarnation int64) *x509.Certificate {
	t.Helper()
	public, _ := newKey(t).Public().(ed25519.PublicKey)
	certificate, err := s.Node(public, name, incarnation)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestParseSeed(t *testing.T) {
	raw, _ := hex.DecodeString(seedText)
	for name, text := range map[string]string{
		"hexadecimal":            seedText,
		"upper-case hexadecimal": strings.ToUpper(seedText),
		"base64":                 base64.StdEncoding.EncodeToString(raw),
		"base64 without padding": base64.RawStdEncoding.EncodeToString(raw),
		"with a newline":         seedText + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			seed, err := pki.ParseSeed(text)
			if err != nil {
				t.Fatal(err)
			}
			a, err := pki.NewAuthority(seed, "shop", time.Time{})
			if err != nil || !a.Certificate().Equal(authority(t, "shop").Certificate()) {
				t.Errorf("it is another seed (%v)", err)
			}
		})
	}
	for name, test := range map[string]struct{ text, want string }{
		"empty":     {" ", "is empty"},
		"short":     {base64.StdEncoding.EncodeToString(raw[:31]), "has 31 bytes, and must have 32"},
		"long":      {base64.StdEncoding.EncodeToString(append(raw, 0)), "has 33 bytes"},
		"no base64": {"correct horse battery staple", "neither hexadecimal nor base64"},
		"all zeros": {strings.Repeat("0", 64), "all zeros"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pki.ParseSeed(test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want it to hold %q", err, test.want)
			}
			if text := strings.TrimSpace(test.text); text != "" && strings.Contains(err.Error(), text) {
				t.Errorf("the error shows the text: %v", err)
			}
		})
	}
}

func TestSeedIsNotShown(t *testing.T) {
	seed, err := pki.ParseSeed(seedText)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "seed", seed, "in", struct{ S pki.Seed }{seed})
	asJSON, err := json.Marshal(map[string]any{"seed": seed})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprint(seed) + fmt.Sprintf("%v %+v %#v %s %x %q %d %v", seed, seed, seed, seed, seed, seed, seed, struct{ S *pki.Seed }{&seed}) +
		log.String() + string(asJSON) + fmt.Sprintf("%v %+v %v", authority(t, "shop"), signer(t, "shop"), struct{ s pki.Seed }{seed})
	for _, sign := range []string{"000102", "0 1 2", "AAEC", "0x1, 0x2"} {
		if strings.Contains(shown, sign) {
			t.Errorf("%q shows the seed", shown)
		}
	}
}

func FuzzParseSeed(f *testing.F) {
	f.Add(seedText)
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := pki.ParseSeed(text); err != nil && len(text) > 8 && strings.Contains(err.Error(), text) {
			t.Errorf("the error shows the text: %v", err)
		}
	})
}

func TestAuthority(t *testing.T) {
	seed, err := pki.ParseSeed(seedText)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2031, time.January, 1, 0, 0, 0, 0, time.UTC)
	short, err := pki.NewAuthority(seed, "shop", end)
	if err != nil {
		t.Fatal(err)
	}
	if got := short.Certificate().NotAfter; !got.Equal(end) {
		t.Errorf("it ends at %s", got)
	}
	long := authority(t, "shop")
	if got := long.Certificate().NotAfter; !got.Equal(pki.DefaultAuthorityEnd()) {
		t.Errorf("it ends at %s", got)
	}
	if bytes.Equal(long.Certificate().RawSubjectPublicKeyInfo, authority(t, "shop2").Certificate().RawSubjectPublicKeyInfo) {
		t.Error("two deployments share a key")
	}
	if !bytes.Equal(long.Certificate().RawSubjectPublicKeyInfo, short.Certificate().RawSubjectPublicKeyInfo) {
		t.Error("another end is another key: machines would not survive a longer life of their CA")
	}
	if _, err := pki.NewAuthority(pki.Seed{}, "shop", time.Time{}); err == nil {
		t.Error("no seed was accepted")
	}
	if _, err := pki.NewAuthority(seed, "Shop", time.Time{}); err == nil {
		t.Error("a bad name was accepted")
	}
	if _, err := pki.NewAuthority(seed, "shop", time.Unix(0, 0)); err == nil {
		t.Error("an end before the start was accepted")
	}
}

func TestCertificatesSpeakForTheirSubject(t *testing.T) {
	s := signer(t, "shop")
	client, err := s.Client(api.RoleReader, "ci job 7", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	own, err := pki.SelfSigned(newKey(t), "shop", "web1")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		certificate *x509.Certificate
		want        pki.Subject
	}{
		"client":     {client.Certificate, pki.Subject{Deployment: "shop", Role: api.RoleReader, Actor: "ci job 7"}},
		"machine":    {node(t, s, "web1", 12), pki.Subject{Deployment: "shop", Role: api.RoleNode, Actor: "web1", Node: "web1", Incarnation: 12}},
		"unenrolled": {own, pki.Subject{Deployment: "shop", Actor: "web1", Node: "web1", Unenrolled: true}},
	} {
		if got, err := pki.ReadSubject(test.certificate); err != nil || got != test.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, test.want)
		}
	}
	if got, ok := pki.ReadUnenrolled(own); !ok || got.Node != "web1" {
		t.Errorf("got %+v, %t", got, ok)
	}
	if _, ok := pki.ReadUnenrolled(node(t, s, "web1", 1)); ok {
		t.Error("an enrolled machine counts as unenrolled")
	}
}

func TestReadSubjectRefuses(t *testing.T) {
	for name, uris := range map[string][]string{
		"no URI":             {},
		"two URIs":           {"spiffe://shop/role/admin", "spiffe://shop/role/reader"},
		"another scheme":     {"https://shop/role/admin"},
		"an unknown segment": {"spiffe://shop/user/admin"},
		"an unknown role":    {"spiffe://shop/role/root"},
		"a client as a node": {"spiffe://shop/role/node"},
		"a bad node":         {"spiffe://shop/node/Web_1"},
		"a longer path":      {"spiffe://shop/role/admin/x"},
		"no incarnation":     {"spiffe://shop/node/web1"},
	} {
		certificate := &x509.Certificate{}
		for _, text := range uris {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			certificate.URIs = append(certificate.URIs, u)
		}
		if got, err := pki.ReadSubject(certificate); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

func TestCertificatesAllowOneUse(t *testing.T) {
	s := signer(t, "shop")
	bundle := pki.Bundle{s.Certificate()}
	client, err := s.Client(api.RoleAdmin, "me", 0)
	if err != nil {
		t.Fatal(err)
	}
	service, err := s.Service(newKey(t).Public(), pki.ServiceNames{DNS: []string{"db.shop.internal"}, IP: []net.IP{net.IPv4(10, 0, 0, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	const asServer, asClient = x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	for name, test := range map[string]struct {
		certificate    *x509.Certificate
		server, client bool
	}{
		"client":  {client.Certificate, false, true},
		"machine": {node(t, s, "web1", 1), true, true},
		"service": {service, true, true},
	} {
		if got := bundle.Verify(test.certificate, asServer, now()) == nil; got != test.server {
			t.Errorf("%s as server: %t", name, got)
		}
		if got := bundle.Verify(test.certificate, asClient, now()) == nil; got != test.client {
			t.Errorf("%s as client: %t", name, got)
		}
		if test.certificate.IsCA || test.certificate.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("%s can do more than sign a handshake", name)
		}
		if bundle.Signed(test.certificate, asClient) != test.client || (pki.Bundle{authority(t, "shop2").Certificate()}).Signed(test.certificate, asClient) {
			t.Errorf("%s: Signed does not tell the CAs apart", name)
		}
	}
	if _, err := pki.ReadSubject(service); err == nil {
		t.Error("a service has a role")
	}
}

func TestLifetimes(t *testing.T) {
	s := signer(t, "shop")
	client, err := s.Client(api.RoleAdmin, "me", 0)
	if err != nil {
		t.Fatal(err)
	}
	machine := node(t, s, "web1", 1)
	for name, test := range map[string]struct {
		certificate *x509.Certificate
		lifetime    time.Duration
	}{"client": {client.Certificate, 15 * time.Minute}, "machine": {machine, 10 * 365 * 24 * time.Hour}} {
		if c := test.certificate; !c.NotBefore.Equal(now().Add(-time.Hour)) || !c.NotAfter.Equal(now().Add(test.lifetime)) {
			t.Errorf("%s: valid from %s to %s", name, c.NotBefore, c.NotAfter)
		}
	}

	late := signer(t, "shop")
	late.Now = func() time.Time { return pki.DefaultAuthorityEnd().Add(-24 * time.Hour) }
	if got := node(t, late, "web1", 1).NotAfter; !got.Equal(pki.DefaultAuthorityEnd()) {
		t.Errorf("a certificate outlives its CA: %s", got)
	}
	late.Now = pki.DefaultAuthorityEnd
	if _, err := late.Client(api.RoleAdmin, "me", 0); err == nil || !strings.Contains(err.Error(), "the CA of shop ended at") {
		t.Errorf("a CA that has ended signs: %v", err)
	}
}

func TestSignersRefuse(t *testing.T) {
	s := signer(t, "shop")
	public, _ := newKey(t).Public().(ed25519.PublicKey)
	for name, sign := range map[string]func() error{
		"a client with role node": func() error { _, err := s.Client(api.RoleNode, "me", 0); return err },
		"an unknown role":         func() error { _, err := s.Client("root", "me", 0); return err },
		"no actor":                func() error { _, err := s.Client(api.RoleAdmin, "", 0); return err },
		"an actor of two lines":   func() error { _, err := s.Client(api.RoleAdmin, "a\nb", 0); return err },
		"a long actor":            func() error { _, err := s.Client(api.RoleAdmin, strings.Repeat("x", 65), 0); return err },
		"a second's life":         func() error { _, err := s.Client(api.RoleAdmin, "me", time.Second); return err },
		"a year's life":           func() error { _, err := s.Client(api.RoleAdmin, "me", 365*24*time.Hour); return err },
		"a bad node":              func() error { _, err := s.Node(public, "Web1", 1); return err },
		"incarnation 0":           func() error { _, err := s.Node(public, "web1", 0); return err },
		"a service without names": func() error { _, err := s.Service(public, pki.ServiceNames{}); return err },
	} {
		if sign() == nil {
			t.Errorf("%s was signed", name)
		}
	}
}

func TestKeysSurvivePEM(t *testing.T) {
	s := signer(t, "shop")
	client, err := s.Client(api.RoleReader, "me", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.ParseKey(client.KeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := pki.ParseCertificate(client.CertificatePEM())
	if err != nil {
		t.Fatal(err)
	}
	if !pki.Matches(key, certificate) || pki.Matches(newKey(t), certificate) {
		t.Error("the key does not belong to the certificate")
	}
	for _, bad := range []api.Secret{"", "x", api.Secret(client.CertificatePEM()), api.Secret(strings.ReplaceAll(client.KeyPEM().Reveal(), "M", "N"))} {
		if _, err := pki.ParseKey(bad); err == nil {
			t.Errorf("a bad key was read")
		}
	}
}

func TestRequests(t *testing.T) {
	key := newKey(t)
	der, err := pki.Request(key, "web1")
	if err != nil {
		t.Fatal(err)
	}
	public, err := pki.ReadRequest(der)
	if err != nil || !public.Equal(key.Public()) {
		t.Errorf("got %x, %v", public, err)
	}
	der[len(der)-1] ^= 1
	if _, err := pki.ReadRequest(der); err == nil {
		t.Error("a forged request was read")
	}
}

func TestBundles(t *testing.T) {
	one, two := authority(t, "shop").Certificate(), authority(t, "shop2").Certificate()
	both := pki.Bundle{one, two}
	for name, text := range map[string]string{
		"in one text":     strings.Join(both.PEM(), ""),
		"with other text": "first\n" + strings.Join(both.PEM(), "then\n"),
	} {
		if got, err := pki.ParseBundlePEM(text); err != nil || len(got) != 2 || !got[1].Equal(two) {
			t.Errorf("%s: got %d, %v", name, len(got), err)
		}
	}
	if got := both.With(two); len(got) != 2 {
		t.Errorf("a CA that is in the list was added: %d", len(got))
	}
	if got := (pki.Bundle{two}).With(one); len(got) != 2 || !got[0].Equal(one) {
		t.Errorf("a CA was not put in front: %d", len(got))
	}
	for name, text := range map[string]string{"nothing": "", "a key": newKeyPEM(t), "four": strings.Repeat(both.PEM()[0], 4)} {
		if _, err := pki.ParseBundlePEM(text); err == nil {
			t.Errorf("%s was read as a list of CAs", name)
		}
	}
}

func newKeyPEM(t *testing.T) string { return pki.EncodeKey(newKey(t)).Reveal() }

func TestClockStamp(t *testing.T) {
	for _, want := range []time.Time{now(), time.Unix(0, 0).UTC(), now().Add(time.Millisecond)} {
		if got, ok := pki.ReadClockStamp([][]byte{pki.ClockStamp(want)}); !ok || !got.Equal(want) {
			t.Errorf("got %s, %t, want %s", got, ok, want)
		}
	}
	if got, ok := pki.ReadClockStamp([][]byte{pki.ClockStamp(time.Unix(-1, 0))}); !ok || !got.Equal(time.Unix(0, 0)) {
		t.Errorf("a clock before 1970 reads %s, %t", got, ok)
	}
	for name, stamps := range map[string][][]byte{
		"none": nil, "empty": {{}}, "two": {pki.ClockStamp(now()), pki.ClockStamp(now())},
		"beyond any clock": {bytes.Repeat([]byte{255}, 47)},
	} {
		if _, ok := pki.ReadClockStamp(stamps); ok {
			t.Errorf("%s was read", name)
		}
	}
}

func TestNewBootstrapRefusesWhatAMachineWould(t *testing.T) {
	a := authority(t, "shop")
	for name, make := range map[string]func() (api.Bootstrap, error){
		"a bad name":    func() (api.Bootstrap, error) { return pki.NewBootstrap(a, "Web1", 1, ":9443") },
		"incarnation 0": func() (api.Bootstrap, error) { return pki.NewBootstrap(a, "web1", 0, ":9443") },
		"no address":    func() (api.Bootstrap, error) { return pki.NewBootstrap(a, "web1", 1, "") },
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzReadClockStamp(f *testing.F) {
	f.Add(pki.ClockStamp(now()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, stamp []byte) {
		if at, ok := pki.ReadClockStamp([][]byte{stamp}); ok && at.Before(time.Unix(0, 0)) {
			t.Errorf("%x reads %s", stamp, at)
		}
	})
}
