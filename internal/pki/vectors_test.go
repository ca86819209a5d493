package pki_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// The seed of all test vectors: the bytes 0 to 31.
const seedText = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func authority(t testing.TB, deployment string) *pki.Authority {
	t.Helper()
	seed, err := pki.ParseSeed(seedText)
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.NewAuthority(seed, deployment, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// exchange is the same on every run.
func exchange() pki.Exchange {
	return pki.Exchange{
		Exporter:      bytes.Repeat([]byte{1}, 32),
		SPKI:          []byte("a public key"),
		ProviderNonce: bytes.Repeat([]byte{2}, api.NonceSize),
		NodeNonce:     bytes.Repeat([]byte{3}, api.NonceSize),
		CSR:           []byte("a request"),
	}
}

// TestVectors holds the contract with machines that exist: whatever changes
// these files locks their owners out.
func TestVectors(t *testing.T) {
	a := authority(t, "shop")
	golden.Compare(t, "ca.pem", pki.EncodeCertificate(a.Certificate()))

	var keys strings.Builder
	for _, k := range []struct {
		deployment, node string
		incarnation      int64
	}{{"shop", "web1", 1}, {"shop", "web1", 2}, {"shop", "web2", 1}, {"shop2", "web1", 1}} {
		key := authority(t, k.deployment).EnrollKey(k.node, k.incarnation)
		fmt.Fprintf(&keys, "%s %s %d %s\n", k.deployment, k.node, k.incarnation, hex.EncodeToString(key))
	}
	golden.Compare(t, "enroll_keys.txt", keys.String())

	key := a.EnrollKey("web1", 1)
	golden.Compare(t, "proofs.txt", fmt.Sprintf("node %x\nctl  %x\n",
		exchange().Proof(key, pki.SideNode), exchange().Proof(key, pki.SideController)))

	b, err := pki.NewBootstrap(a, "web1", 1, ":9443")
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "bootstrap.json", string(b.JSON()))
	golden.Compare(t, "user_data.yaml", b.UserData())
	if _, err := api.ParseBootstrap(b.JSON()); err != nil {
		t.Errorf("the agent refuses it: %v", err)
	}
}

func TestProofCoversEveryField(t *testing.T) {
	key := []byte("a key")
	proof := exchange().Proof(key, pki.SideNode)
	if !exchange().Proves(key, pki.SideNode, proof) {
		t.Fatal("the right proof does not hold")
	}
	for name, change := range map[string]func(*pki.Exchange){
		"exporter":         func(x *pki.Exchange) { x.Exporter = []byte("other") },
		"key of the leaf":  func(x *pki.Exchange) { x.SPKI = []byte("other") },
		"provider's nonce": func(x *pki.Exchange) { x.ProviderNonce = []byte("other") },
		"node's nonce":     func(x *pki.Exchange) { x.NodeNonce = []byte("other") },
		"request":          func(x *pki.Exchange) { x.CSR = []byte("other") },
		"nonces exchanged": func(x *pki.Exchange) { x.ProviderNonce, x.NodeNonce = x.NodeNonce, x.ProviderNonce },
		"a byte moved from one field to the next": func(x *pki.Exchange) {
			x.ProviderNonce, x.NodeNonce = x.ProviderNonce[:31], append([]byte{2}, x.NodeNonce...)
		},
	} {
		x := exchange()
		change(&x)
		if x.Proves(key, pki.SideNode, proof) {
			t.Errorf("%s: the proof still holds", name)
		}
	}
	if exchange().Proves(key, pki.SideController, proof) {
		t.Error("one side's proof holds for the other")
	}
	if exchange().Proves([]byte("another key"), pki.SideNode, proof) {
		t.Error("the proof holds under another key")
	}
	for _, wrong := range [][]byte{nil, {}, proof[:31], append(bytes.Clone(proof), 0)} {
		if exchange().Proves(key, pki.SideNode, wrong) {
			t.Errorf("%x holds", wrong)
		}
	}
}
