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
		ended := make(chan []error)
		go func() { ended <- flood(format) }()
		s.plan().empty() // an admin's goes on beside them
		for _, err := range <-ended {
			told := fmt.Sprint(err)
			busy := api.IsProblem(err, api.ProblemBusy)
			if strings.Contains(told, "root:") || !busy && refused != api.IsProblem(err, api.ProblemInvalid) || !busy && !refused && err != nil {
				t.Errorf("%s ended with %s", format, told)
			}
		}
	}
	s.settled()
}
