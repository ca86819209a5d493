//go:build lab

package acceptance

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// agentOf is where the agent of a machine of the stack answers.
var agentOf = map[string]string{"lb1": "10.0.0.10:9443", "web1": "10.0.0.1:9443", "web2": "10.0.0.2:9443"} //nolint:gochecknoglobals // a table

// signerOf returns what signs for the lab's deployment, with another seed if one is given.
func (s *stack) signerOf(seed string) pki.Signer {
	s.t.Helper()
	authority := s.authority()
	if seed != "" {
		parsed, err := pki.ParseSeed(seed)
		if err == nil {
			authority, err = pki.NewAuthority(parsed, deployment, time.Time{})
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return pki.Signer{Authority: authority, Now: time.Now, Random: rand.Reader}
}

// thief holds an admin's certificate of a run, and not the seed.
type thief struct {
	*tls.Conn
}

// steal returns a connection to a machine that shows a real admin's certificate.
func (s *stack) steal(machine string) *thief {
	s.t.Helper()
	issued, err := s.signerOf("").Client(api.RoleAdmin, "thief", pki.ClientLifetime)
	if err != nil {
		s.t.Fatal(err)
	}
	dialer := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: pki.NodeDNSName(deployment, machine),
		RootCAs: pki.Bundle{s.authority().Certificate()}.Pool(), Certificates: []tls.Certificate{*issued.TLS()},
	}}
	raw, err := dialer.DialContext(s.t.Context(), "tcp", agentOf[machine])
	if err != nil {
		s.t.Fatal(err)
	}
	channel, ok := raw.(*tls.Conn)
	if !ok {
		s.t.Fatalf("a %T is no TLS connection", raw)
	}
	s.t.Cleanup(func() { _ = channel.Close() })
	return &thief{channel}
}

// renew sends a list of CAs and returns the first bytes of the answer.
func (f *thief) renew(machine string, given api.Certification) (string, error) {
	return f.send(machine, "POST /v1/identity:renew", api.Encode(given))
}

// send makes the connection's only call, and returns the answer.
func (f *thief) send(machine, call string, body []byte) (string, error) {
	_, err := fmt.Fprintf(f, "%s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		call, machine, api.HeaderMachine, machine, len(body), body)
	if err != nil {
		return "", err
	}
	answer := make([]byte, 8<<10)
	n, err := f.Read(answer)
	return string(answer[:n]), err
}

// Who has an admin's certificate, which lives for fifteen minutes, tries to make
// a CA of their own last. The machine refuses, its audit log names the CA, and
// what root puts there all the same is drift that an apply takes away.
func TestStolenCertificateCannotPlantACA(t *testing.T) {
	s := newStack(t)
	s.apply()
	theirs := s.signerOf(strings.Repeat("a5", pki.SeedSize))
	pin := pki.KeyPin(theirs.Certificate())
	thief := s.steal("web1")
	public, _ := thief.ConnectionState().PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	leaf, err := theirs.Node(public, "web1", int64(s.lab.Incarnation("web1")))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := thief.renew("web1", api.Certification{
		Chain: []string{pki.EncodeCertificate(leaf)}, CA: pki.Bundle{theirs.Certificate(), s.authority().Certificate()}.PEM(),
	})
	if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 403 ") || !strings.Contains(answer, pin) {
		t.Errorf("the machine answered %q, %v", answer, err)
	}
	t.Log(answer)
	if log := s.lab.Exec("web1", "tail", "-n1", "/var/lib/foobar/audit-refused.log"); !strings.Contains(log, pin) || !strings.Contains(log, `"actor":"thief"`) {
		t.Errorf("the audit log says %s", log)
	}
	if status := s.lab.Exec("web1", "foobar-agent", "status"); strings.Contains(status, pin) || !strings.Contains(status, "trusts CA "+pki.KeyPin(s.authority().Certificate())) {
		t.Errorf("the machine says:\n%s", status)
	}
	s.plan().empty()

	s.plantAsRoot("web1", theirs)
	if status := s.lab.Exec("web1", "foobar-agent", "status"); !strings.Contains(status, "trusts CA "+pin) || !strings.Contains(status, "SeveralCAs") {
		t.Errorf("the machine says:\n%s", status)
	}
	said := s.said("plan")
	if !strings.Contains(said, "CA "+pin) || !strings.Contains(said, "1 to change") {
		t.Errorf("the plan says: %s", said)
	}
	t.Log(said)
	s.apply()
	s.settled()
	if status := s.lab.Exec("web1", "foobar-agent", "status"); strings.Contains(status, pin) {
		t.Errorf("after the apply the machine says:\n%s", status)
	}
}

// plantAsRoot adds a CA to what a machine trusts, past the agent.
func (s *stack) plantAsRoot(machine string, theirs pki.Signer) {
	s.t.Helper()
	const path = "/var/lib/foobar/identity/identity.json"
	var record map[string]any
	if err := json.Unmarshal([]byte(s.lab.Exec(machine, "cat", path)), &record); err != nil {
		s.t.Fatal(err)
	}
	list, _ := record["ca"].([]any)
	record["ca"] = append(list, pki.EncodeCertificate(theirs.Certificate()))
	s.lab.Exec(machine, "sh", "-c", `printf %s "$1" >`+path+` && systemctl restart foobar-agent`, "sh", string(api.Encode(record)))
}

// Unauthenticated clients on the private network open all the connections that they
// can get while an apply works. It succeeds, and their connections and log lines are limited.
func TestFloodOfConnectionsWhileAnApplyWorks(t *testing.T) {
	s := newStack(t)
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for range 4 { // some 100 connections at any time, at most 20,000 in all
		flood.Go(func() { knock(ctx, agentOf["web1"], 25, 200) })
	}
	s.apply()
	s.plan().empty()
	stop()
	flood.Wait()
	lines := s.lab.Exec("web1", "sh", "-c", `journalctl -u foobar-agent -o cat | grep -c -e "TLS handshake error" -e "closed an unauthenticated connection"`)
	n, err := strconv.Atoi(strings.TrimSpace(lines))
	if err != nil || n > 100 {
		t.Errorf("unauthenticated connections caused %q lines: %v", lines, err)
	}
	s.counted("web1")
}

// counted fails the test unless the agent's log soon says how many lines it left out.
func (s *stack) counted(machine string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		said, err := s.lab.TryExec(machine, "journalctl", "-u", "foobar-agent", "-o", "cat", "--grep", "were dropped")
		if err == nil && strings.Contains(said, `"lines":`) {
			s.t.Log(said)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Errorf("the log does not count what it left out: %q, %v", said, err)
			return
		}
	}
}

// knock holds n connections that say nothing or nonsense, and makes new ones in
// their place, at most rounds times, until ctx ends.
func knock(ctx context.Context, address string, n, rounds int) {
	for range rounds {
		var conns []net.Conn
		for i := range n {
			c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
			if err != nil {
				continue // refused or full, which is the point
			}
			if i%2 == 0 {
				_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			}
			conns = append(conns, c)
		}
		for _, c := range conns { // until the agent closes it, or a while
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// exposure finds the figure of systemd-analyze security.
var exposure = regexp.MustCompile(`Overall exposure level for foobar-agent.service: ([0-9.]+)`) //nolint:gochecknoglobals // a pattern

// The agent is root by need; what it does not need is closed.
func TestExposureOfTheAgent(t *testing.T) {
	s := newStack(t)
	said := s.lab.Exec("web1", "systemd-analyze", "security", "--no-pager", "foobar-agent.service")
	found := exposure.FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("no figure in:\n%s", said)
	}
	t.Logf("exposure of foobar-agent.service: %s", found[1])
	if figure, err := strconv.ParseFloat(found[1], 64); err != nil || figure > 5.0 {
		t.Errorf("the exposure is %s, and at most 5.0 is allowed:\n%s", found[1], said)
	}
	if core := s.lab.Exec("web1", "systemctl", "show", "-p", "LimitCORE", "--value", "foobar-agent"); strings.TrimSpace(core) != "0" {
		t.Errorf("LimitCORE is %q", core)
	}
	// A bootstrap may have it listen on any port.
	s.lab.Exec("web1", "sh", "-c", `exec systemd-run --quiet --collect --wait --pipe -p "CapabilityBoundingSet=$(systemctl show -p CapabilityBoundingSet --value foobar-agent)" \
		python3 -c 'import socket; socket.create_server(("127.0.0.1", 443))'`)
}
