//go:build lab

package acceptance

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// flooder returns what sends 20 dry runs with a reader's certificate, side by
// side, and tells how each of them ended.
func (s *stack) flooder() func(format string) []error {
	s.t.Helper()
	issued := s.reader()
	credentials, err := client.Given(issued.CertificatePEM(), issued.KeyPEM(), pki.EncodeCertificate(s.authority().Certificate()))
	if err != nil {
		s.t.Fatal(err)
	}
	machine, err := client.NewPool(credentials, client.Options{}).Machine(client.Target{Name: "lb1", Address: "10.0.0.10"})
	if err != nil {
		s.t.Fatal(err)
	}
	found, err := machine.Get(context.Background(), api.ID{Kind: api.KindLoadBalancer, Name: "notes"})
	if err != nil {
		s.t.Fatal(err)
	}
	var spec api.LoadBalancer
	if err := api.Decode(found.Spec, &spec); err != nil {
		s.t.Fatal(err)
	}
	probe := api.ID{Kind: api.KindLoadBalancer, Name: "probe"} // one that nobody owns
	return func(format string) []error {
		for name, frontend := range spec.Frontends {
			frontend.LogFormat, frontend.Port = format, 18080
			spec.Frontends[name] = frontend
		}
		write := api.Write{Spec: api.Encode(spec)}
		ended := make([]error, 20)
		var calls sync.WaitGroup
		for i := range ended {
			calls.Go(func() { _, ended[i] = machine.Plan(context.Background(), probe, 0, write) })
		}
		calls.Wait()
		return ended
	}
}

// checkers watches the sandboxes of an engine's checkers on a machine, each of which
// has a directory of its own while it runs, under one of a few names. The function
// that it returns ends that, and tells how many there were, and how many of them at a
// time.
func (s *stack) checkers(machine string) (end func() (all, atOnce int)) {
	s.t.Helper()
	s.lab.Exec(machine, "rm", "-f", "/run/watch.end")
	said := make(chan string, 1)
	go func() {
		text, err := s.lab.TryExec(machine, "timeout", "120", "sh", "-c", `
			most=0
			while [ ! -e /run/watch.end ]; do
				set -- /run/foobar/check-sandbox-*
				[ -e "$1" ] || continue
				[ $# -le $most ] || most=$#
				for at in $(stat -c %i "$@" 2>/dev/null); do case " $seen " in *" $at "*) ;; *) seen="$seen $at"; all=$((all + 1)) ;; esac; done
			done
			echo ${all:-0} $most`)
		if err != nil {
			text = err.Error()
		}
		said <- text
	}()
	return func() (all, atOnce int) {
		s.t.Helper()
		s.lab.Exec(machine, "touch", "/run/watch.end")
		text := <-said
		if _, err := fmt.Sscan(text, &all, &atOnce); err != nil {
			s.t.Fatalf("the watch of the checkers said %s", text)
		}
		return all, atOnce
	}
}

// admitted is how many of a reader's dry runs the agent takes at a time: one that
// runs and 16 that wait.
const admitted = 17

// TestAReaderCannotSpendTheMachineNorReadItsFiles attacks with a reader's
// certificate while an admin plans.
func TestAReaderCannotSpendTheMachineNorReadItsFiles(t *testing.T) {
	s := newStack(t)
	s.apply()
	flood := s.flooder()
	for format, refused := range map[string]bool{
		"%[src,map(/dev/zero)]":       true,
		"%[src,map_ip(/etc/passwd)]":  true,
		"%[src,map_reg(/etc/shadow)]": true,
		"%ci %[src,ipmask(24)] %ST":   false,
	} {
		ended, checkers := make(chan []error), s.checkers("lb1")
		go func() { ended <- flood(format) }()
		s.plan().empty() // an admin's goes on beside them
		errs, busy := <-ended, 0
		for _, err := range errs {
			shown := fmt.Sprint(err)
			switch {
			case api.IsProblem(err, api.ProblemBusy):
				busy++
			case strings.Contains(shown, "root:"), refused != api.IsProblem(err, api.ProblemInvalid), !refused && err != nil:
				t.Errorf("%s ended with %s", format, shown)
			}
		}
		all, atOnce := checkers()
		t.Logf("%s: %d of %d were refused as too many, %d checkers ran, %d at a time", format, busy, len(errs), all, atOnce)
		if busy > len(errs)-admitted {
			t.Errorf("%s: %d dry runs of %d were refused as too many, and %d are admitted", format, busy, len(errs), admitted)
		}
		// Each that is not refused is checked, and those of readers one at a time: the
		// other is the admin's.
		if !refused && all < len(errs)-busy || atOnce > 2 {
			t.Errorf("%s: %d checkers ran, %d at a time", format, all, atOnce)
		}
	}
	s.settled()
}
