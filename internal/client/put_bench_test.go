//go:build bench

package client_test

import (
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// BenchmarkPut writes what a load balancer is already, and waits for the
// operation's end, over a connection that stands. tools/bench.sh runs it in the
// lab's management namespace, with the load balancer in BENCH_MACHINE,
// BENCH_ADDRESS and BENCH_NAME.
func BenchmarkPut(b *testing.B) {
	machine := benchMachine(b)
	id := api.ID{Kind: api.KindLoadBalancer, Name: os.Getenv("BENCH_NAME")}
	present, err := machine.Get(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	change := client.Change{ID: id, Base: present.Generation, Write: api.Write{Spec: present.Spec, Owner: present.Ownership.Owner}}
	for b.Loop() {
		done, err := machine.Apply(b.Context(), change, nil)
		if err != nil {
			b.Fatal(err)
		}
		if done.Generation != present.Generation {
			b.Fatalf("generation %d became %d: that was not nothing", present.Generation, done.Generation)
		}
	}
}

func benchMachine(b *testing.B) *client.Machine {
	b.Helper()
	seed, err := pki.ParseSeed(os.Getenv("FOOBAR_CA_SEED"))
	if err != nil {
		b.Fatal(err)
	}
	authority, err := pki.NewAuthority(seed, "demo", pki.DefaultAuthorityEnd())
	if err != nil {
		b.Fatal(err)
	}
	credentials, err := client.Admin(pki.Signer{Authority: authority, Now: time.Now, Random: rand.Reader}, "bench")
	if err != nil {
		b.Fatal(err)
	}
	pool := client.NewPool(credentials, client.Options{})
	b.Cleanup(pool.Close)
	machine, err := pool.Machine(client.Target{Name: os.Getenv("BENCH_MACHINE"), Address: os.Getenv("BENCH_ADDRESS")})
	if err != nil {
		b.Fatal(err)
	}
	return machine
}
