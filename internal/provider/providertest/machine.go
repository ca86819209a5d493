// Package providertest runs resources under the Terraform CLI without real
// machines: a provider whose agents are in memory, keep to the agents'
// contract, and can be made to drift, refuse and fall silent.
package providertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// Machine is a machine in memory, with its agent.
type Machine struct {
	name string

	mu sync.Mutex
	// incarnation tells which VM of that name it is; a fresh one is not enrolled.
	incarnation int64
	fresh       bool

	components map[api.ID]*stored
	blobs      map[string]bool
	leaves     map[string]pki.ServiceNames
	enlisted   map[string]api.DBMembership
	status     map[api.ID]json.RawMessage
	forgotten  []string
	answered   map[string]answered // to dry runs
	applied    int
	failure    error
	refuse     func(id api.ID, write api.Write) error
	impact     api.Impact
	foreseen   []api.Condition
	warnings   []api.Condition
	cas        []api.TrustedCA
	renewed    int
	givenUp    bool
}

type stored struct {
	api.Component
	secrets map[string]api.Secret
	timeout int
}

var _ tfutil.Agent = (*Machine)(nil)

// Fail makes every call fail with err, as if the machine could not be
// reached; nil brings it back.
func (m *Machine) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure = err
}

// GiveUp lists the machine in the provider's forget_unreachable.
func (m *Machine) GiveUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.givenUp = true
}

// Refuse makes the engine's checker answer with what refuse returns.
func (m *Machine) Refuse(refuse func(id api.ID, write api.Write) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = refuse
}

// Impact makes every change cost this from now on; an approved plan keeps what
// it was informed.
func (m *Machine) Impact(impact api.Impact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.impact = impact
}

// Foresees makes every dry run answer with these conditions from now on.
func (m *Machine) Foresees(conditions ...api.Condition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.foreseen = conditions
}

// Warns sets what each apply ends with a warning of.
func (m *Machine) Warns(conditions ...api.Condition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.warnings = conditions
}

// Change lets something happen to a component behind Terraform's back.
func (m *Machine) Change(t testing.TB, id api.ID, change func(*api.Component)) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.components[id]
	if !ok {
		t.Fatalf("machine %s has no %s", m.name, id)
	}
	change(&c.Component)
}

// Put makes a component that Terraform does not know of.
func (m *Machine) Put(id api.ID, spec any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.components[id] = &stored{Component: component(id, api.Encode(spec), 1)}
}

// Forget loses a component without a word.
func (m *Machine) Forget(id api.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.components, id)
}

// ForgetAnswers has the machine not know what it answered to dry runs, as after a boot.
func (m *Machine) ForgetAnswers() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.answered)
}

// Spec reads what was applied last into spec, and reports whether there is anything.
func (m *Machine) Spec(t testing.TB, id api.ID, spec any) bool {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.components[id]
	if ok {
		if err := api.Decode(c.Spec, spec); err != nil {
			t.Fatal(err)
		}
	}
	return ok
}

// Secrets returns the secrets that the component was given last.
func (m *Machine) Secrets(id api.ID) map[string]api.Secret {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.components[id]; ok {
		return c.secrets
	}
	return nil
}

// Timeout returns the bound of the last write, in seconds.
func (m *Machine) Timeout(id api.ID) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.components[id]; ok {
		return c.timeout
	}
	return 0
}

// Shows makes the status of a component, from now on, what a kind answers; nil
// is none, as while an operation is at work.
func (m *Machine) Shows(id api.ID, status any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status[id] = nil
	if status != nil {
		m.status[id] = api.Encode(status)
	}
}

// Forgotten returns the machines that the last deletion had to forget.
func (m *Machine) Forgotten() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forgotten
}

// Has reports whether the machine has a blob.
func (m *Machine) Has(sha256 string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blobs[sha256]
}

// Lose removes a blob, as a damaged disk does.
func (m *Machine) Lose(sha256 string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.blobs, sha256)
}

// Applied counts the operations that were carried out.
func (m *Machine) Applied() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applied
}

// Info implements [tfutil.Agent].
func (m *Machine) Info(context.Context) (api.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return api.Info{
		Health: api.Health{Node: m.name, Incarnation: m.incarnation, Enrolled: true}, Key: m.pin(),
		Version: "1.0.0", APIVersions: []string{"v1"}, ImageID: "test", BootID: "first", TrustedCAs: m.cas,
	}, m.failure
}

// Trusts makes these the CAs that the machine trusts.
func (m *Machine) Trusts(pins ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trust(pins)
}

func (m *Machine) trust(pins []string) {
	m.cas = nil
	for _, pin := range pins {
		m.cas = append(m.cas, api.TrustedCA{Pin: pin, Name: "foobar CA of test", Expires: time.Date(2075, 1, 1, 0, 0, 0, 0, time.UTC)})
	}
}

// Renewed counts how often the machine was given its CAs again.
func (m *Machine) Renewed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.renewed
}

// Renew implements [tfutil.Agent]: the machine trusts [OwnCA] afterwards.
func (m *Machine) Renew(context.Context) (api.Enrolled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return api.Enrolled{}, m.failure
	}
	m.renewed++
	m.trust([]string{OwnCA})
	return api.Enrolled{Node: m.name, Incarnation: m.incarnation, Key: m.pin()}, nil
}

// Enroll implements [tfutil.Agent].
func (m *Machine) Enroll(context.Context) (api.Enrolled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return api.Enrolled{Node: m.name, Incarnation: m.incarnation, Key: m.pin()}, m.failure
}

func (m *Machine) pin() string { return api.KeyPin(fmt.Appendf(nil, "%s %d", m.name, m.incarnation)) }

// Get implements [tfutil.Agent].
func (m *Machine) Get(_ context.Context, id api.ID) (api.Component, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return api.Component{}, m.failure
	}
	c, ok := m.components[id]
	if !ok {
		return api.Component{}, notFound(id)
	}
	answer := c.Component
	if status, ok := m.status[id]; ok {
		answer.Status = status
	}
	return answer, nil
}

// check checks a write as an agent does, by the order of its rules.
func (m *Machine) check(id api.ID, base int64, write api.Write) error {
	if m.failure != nil {
		return m.failure
	}
	c, ok := m.components[id]
	own := ok && base == 0 && write.Held && write.Owner != "" && write.Owner == c.Ownership.Owner
	if ok && base == 0 && !own && !bytes.Equal(c.Spec, write.Spec) {
		return raced(c, base)
	} else if ok && !mayWrite(c, write.Owner, write.TakesOver) {
		return owned(id, c)
	}
	if ok && !own && base != c.Generation && (base != 0 || !bytes.Equal(c.Spec, write.Spec)) {
		return raced(c, base)
	}
	if err := m.claimed(id, write); err != nil {
		return err
	}
	if m.refuse != nil {
		if err := m.refuse(id, write); err != nil {
			return err
		}
	}
	return nil
}

// missing returns the checksum of the artifact that a spec needs and the
// machine lacks, "" if there is none.
func (m *Machine) missing(write api.Write) (string, error) {
	var release struct {
		Release *api.Release `json:"release"`
	}
	if err := json.Unmarshal(write.Spec, &release); err != nil {
		return "", err
	}
	if release.Release == nil || m.blobs[release.Release.SHA256] {
		return "", nil
	}
	return release.Release.SHA256, nil
}

// claimed refuses a port that another component of the machine holds.
func (m *Machine) claimed(id api.ID, write api.Write) error {
	var found api.Violations
	for _, want := range claims(id.Kind, write.Spec) {
		for other, c := range m.components {
			for _, has := range claims(other.Kind, c.Spec) {
				if other != id && want.Overlaps(has) {
					found = append(found, api.Violation{Pointer: want.Pointer, Holder: other.String(),
						Detail: fmt.Sprintf("%s is taken by %s on this machine; choose another port or address", want, other)})
				}
			}
		}
	}
	if len(found) > 0 {
		return &api.Problem{Type: api.ProblemClaimed, Title: "The port is taken", Violations: found}
	}
	return nil
}

func claims(kind api.Kind, spec json.RawMessage) []api.Claim {
	switch kind {
	case api.KindLoadBalancer:
		return claimsOf[api.LoadBalancer](spec)
	case api.KindAppServer:
		return claimsOf[api.AppServer](spec)
	case api.KindDBServer:
		return claimsOf[api.DBServer](spec)
	case api.KindDBReplication:
		return claimsOf[api.DBReplication](spec)
	}
	return nil
}

func claimsOf[S interface{ Claims() []api.Claim }](raw json.RawMessage) []api.Claim {
	var spec S
	if json.Unmarshal(raw, &spec) != nil {
		return nil
	}
	return spec.Claims()
}

// ownership is that of a component which owner took today.
func (m *Machine) ownership(owner string) api.Ownership {
	if owner == "" {
		return api.Ownership{}
	}
	return api.Ownership{Owner: owner, Actor: "terraform", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func mayWrite(c *stored, owner, takesOver string) bool {
	of := c.Ownership.Owner
	return of == "" || of == owner || of == takesOver
}

func owned(id api.ID, c *stored) error {
	return &api.Problem{Type: api.ProblemOwned, Title: "The component belongs to another state",
		Detail: fmt.Sprintf("%s belongs to another Terraform state: it was taken by %s. Nothing was changed", id, c.Ownership.By())}
}

// Own implements [tfutil.Agent].
func (m *Machine) Own(_ context.Context, id api.ID, claiming api.Claiming) (api.Ownership, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.components[id]
	switch {
	case m.failure != nil:
		return api.Ownership{}, m.failure
	case !ok:
		return api.Ownership{}, notFound(id)
	case !mayWrite(c, claiming.Owner, claiming.TakesOver):
		return api.Ownership{}, owned(id, c)
	case c.Ownership.Owner != claiming.Owner:
		c.Ownership = m.ownership(claiming.Owner)
	}
	return c.Ownership, nil
}

// Owner returns the lineage of who owns a component; empty for nobody.
func (m *Machine) Owner(id api.ID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.components[id]; ok {
		return c.Ownership.Owner
	}
	return ""
}

func raced(c *stored, base int64) error {
	if base == 0 {
		return &api.Problem{Type: api.ProblemExists, Title: "It exists already", Detail: "Another spec is applied."}
	}
	return &api.Problem{Type: api.ProblemGeneration, Title: "Somebody else changed it", Detail: "By " + c.Actor + "."}
}

// Delete implements [tfutil.Agent].
func (m *Machine) Delete(_ context.Context, change client.Change, _ func(api.Event)) (api.Operation, error) {
	id, base := change.ID, change.Base
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return api.Operation{}, m.failure
	}
	c, ok := m.components[id]
	if !ok {
		return api.Operation{}, notFound(id)
	}
	if !mayWrite(c, change.Write.Owner, change.Write.TakesOver) {
		return api.Operation{}, owned(id, c)
	}
	if base != c.Generation {
		return api.Operation{}, raced(c, base)
	}
	delete(m.components, id)
	m.forgotten = change.Write.Forget
	return api.Operation{State: api.OperationApplied}, nil
}

// UploadBlob implements [tfutil.Agent].
func (m *Machine) UploadBlob(_ context.Context, sum string, blob io.ReaderAt, size int64, sent func(bytes int64)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return m.failure
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(blob, 0, size)); err != nil {
		return err
	}
	if found := hex.EncodeToString(hash.Sum(nil)); found != sum {
		return &api.Problem{Type: api.ProblemInvalid, Title: "The upload is damaged", Detail: "It has the SHA-256 " + found + "."}
	}
	if !m.blobs[sum] {
		sent(size)
	}
	m.blobs[sum] = true
	return nil
}

func notFound(id api.ID) error {
	return &api.Problem{Type: api.ProblemNotFound, Title: "There is no such component", Detail: id.String() + "."}
}

func component(id api.ID, spec json.RawMessage, generation int64) api.Component {
	return api.Component{
		ID: id, Generation: generation, Spec: spec, Observed: spec,
		AppliedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Actor: "terraform",
	}
}

// Bring gives the machine a blob that nobody uploaded.
func (m *Machine) Bring(sha256 string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blobs[sha256] = true
}
