package agenttest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

// large is an artifact of three chunks and a bit.
func large() (content []byte, sum string) {
	content = make([]byte, 3*api.MaxChunk+4096)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // never fails
	of := sha256.Sum256(content)
	return content, hex.EncodeToString(of[:])
}

// watched is an artifact's file: it notes what is read, and calls then before
// each part is sent.
type watched struct {
	content []byte
	offsets []int64
	then    func(offset int64)
}

func (w *watched) ReadAt(p []byte, offset int64) (int, error) {
	w.offsets = append(w.offsets, offset)
	w.then(offset)
	return bytes.NewReader(w.content).ReadAt(p, offset)
}

// stored sees that a machine has an artifact, byte by byte.
func stored(t *testing.T, m *agenttest.Machine, sum string, content []byte) {
	t.Helper()
	if got, err := os.ReadFile(m.Path("/var/lib/foobar/blobs/" + sum)); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the machine has %d bytes of it, %v", len(got), err)
	}
}

// Terraform that is killed during an upload goes on with it in its next run, also
// if the agent was killed as well.
func TestAnUploadGoesOnInTheNextRun(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	content, sum := large()
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	first := &watched{content: content, then: func(offset int64) {
		if offset == 2*api.MaxChunk {
			kill()
		}
	}}
	if err := admin.UploadBlob(ctx, sum, first, int64(len(content)), nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first run ends with %v", err)
	}
	m.Kill()
	m.Boot()
	var sent []int64
	second := &watched{content: content, then: func(int64) {}}
	if err := m.Admin().UploadBlob(t.Context(), sum, second, int64(len(content)), func(n int64) { sent = append(sent, n) }); err != nil {
		t.Fatal(err)
	}
	stored(t, m, sum, content)
	if len(second.offsets) == 0 || second.offsets[0] < 2*api.MaxChunk || sent[0] < 2*api.MaxChunk {
		t.Errorf("the second run sent the parts at %v, and says %v", second.offsets, sent)
	}
}

// A connection that is cut in the middle of a part, and an agent that is killed
// there, lose no byte that had arrived.
func TestAnUploadGoesOnInTheMiddleOfAPart(t *testing.T) {
	for name, kill := range map[string]bool{"cut": false, "agent killed": true} {
		t.Run(name, func(t *testing.T) {
			m, _ := enrolled(t, agenttest.Config{})
			content, sum := large()
			end := func() {}
			if kill {
				end = func() {
					m.Kill()
					m.Boot()
				}
			}
			machine, ended := brittle(t, m, end)
			file := &watched{content: content, then: func(int64) {}}
			if err := machine.UploadBlob(t.Context(), sum, file, int64(len(content)), nil); err != nil {
				t.Fatal(err)
			}
			stored(t, m, sum, content)
			if ended.Load() != 4 || !slices.IsSorted(file.offsets) || !slices.ContainsFunc(file.offsets, func(n int64) bool { return n%api.MaxChunk != 0 }) {
				t.Errorf("after %d ends the parts were at %v; none went on in the middle of one", ended.Load(), file.offsets)
			}
		})
	}
}

// brittle returns a client whose first four connections end in the middle of a
// part, with what else happens then, and how many have ended.
func brittle(t *testing.T, m *agenttest.Machine, end func()) (*client.Machine, *atomic.Int64) {
	t.Helper()
	credentials, err := client.Admin(m.Signer(), "terraform@test")
	must(t, err)
	var ended atomic.Int64
	pool := client.NewPool(credentials, client.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil || ended.Load() == 4 {
			return conn, err
		}
		return &shortLived{Conn: conn, left: api.MaxChunk / 2, end: func() { ended.Add(1); end() }}, nil
	}})
	t.Cleanup(pool.Close)
	machine, err := pool.Machine(m.Target())
	must(t, err)
	return machine, &ended
}

// shortLived is a connection that ends once it has carried so many bytes.
type shortLived struct {
	net.Conn
	left int
	end  func()
}

func (s *shortLived) Write(p []byte) (int, error) {
	if len(p) < s.left {
		s.left -= len(p)
		return s.Conn.Write(p)
	}
	n, err := s.Conn.Write(p[:s.left])
	s.end()
	return n, errors.Join(err, s.Close(), net.ErrClosed)
}
