//go:build lab

package acceptance

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// The seed is lost: root resets one machine after the other, data and services
// stay, and an apply with another seed enrols them. The same is the way out of
// an identity that is gone.
func TestLostSeedAndLostIdentityHaveAWayOut(t *testing.T) {
	s := newStack(t)
	s.apply()
	s.loseIdentity("web1")
	s.getsOut("foobar-app-notes-nginx.service", s.app("web1"))
}

// loseIdentity takes a machine's identity away, which the next plan reports.
func (s *stack) loseIdentity(machine string) {
	s.t.Helper()
	const (
		remedy  = "foobar-agent identity reset --bootstrap FILE"
		restart = " && systemctl restart foobar-agent && until [ -S /run/foobar/agent.sock ]; do sleep 0.1; done"
	)
	s.lab.Exec(machine, "sh", "-c", "printf { >/var/lib/foobar/identity/identity.json"+restart)
	says := func() {
		for _, command := range [][]string{{"status"}, {"logs", "agent"}} {
			_, err := s.lab.TryExec(machine, append([]string{"foobar-agent"}, command...)...)
			if err == nil || !strings.Contains(err.Error(), "identity is lost") || !strings.Contains(err.Error(), remedy) {
				s.t.Errorf("foobar-agent %s says: %v", command[0], err)
			}
		}
	}
	says()
	s.lab.Exec(machine, "sh", "-c", "rm -r /var/lib/foobar/identity"+restart)
	refused := s.refused("plan")
	if !strings.Contains(refused, `Machine "`+machine+`" is not enrolled any more`) || !strings.Contains(refused, remedy) {
		s.t.Errorf("the plan says: %s", refused)
	}
	says()
}

// getsOut loses the seed and takes the guide's way out, step by step, while
// these units of the app's machines run on. One apply has to be enough. It
// returns what signs from then on.
func (s *stack) getsOut(running ...string) pki.Signer {
	t := s.t
	t.Helper()
	processes := func() string {
		show := append([]string{"systemctl", "show", "-p", "Id,MainPID,NRestarts"}, running...)
		return s.lab.Exec("web1", show...) + s.lab.Exec("web2", show...)
	}
	before := processes()

	seed := strings.Repeat("5a", pki.SeedSize)
	s.env = append(s.env, "FOOBAR_CA_SEED="+seed)
	incarnations := map[string]int{}
	for machine := range agentOf {
		incarnations[machine] = s.lab.Incarnation(machine) + 1
	}
	text, err := json.Marshal(map[string]any{"release": s.release, "incarnations": incarnations})
	if err != nil {
		t.Fatal(err)
	}
	s.write("test.auto.tfvars.json", string(text))
	s.must("apply", "-no-color", "-input=false", "-auto-approve", "-target=foobar_bootstrap.vm")
	state := s.state()
	for machine := range agentOf {
		bootstrap, _ := state[`foobar_bootstrap.vm["`+machine+`"]`]["json"].(string)
		said := s.lab.Exec(machine, "sh", "-c", `umask 077; printf %s "$1" >/root/bootstrap.json; foobar-agent identity reset --bootstrap /root/bootstrap.json`, "sh", bootstrap)
		if !strings.Contains(said, "root has reset the identity of this machine") {
			t.Errorf("%s said %s", machine, said)
		}
		if log := s.lab.Exec(machine, "tail", "-n1", "/var/lib/foobar/audit.log"); !strings.Contains(log, "foobar-agent identity reset") {
			t.Errorf("the audit log of %s says %s", machine, log)
		}
	}
	s.serves()
	s.apply()
	s.serves()
	s.plan().empty()
	if after := processes(); after != before {
		t.Errorf("the services' processes were\n%sand are\n%s", before, after)
	}
	return s.signerOf(seed)
}
