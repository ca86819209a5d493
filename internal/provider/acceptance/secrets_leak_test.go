//go:build lab

package acceptance

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// withSecret are edits that give the app a secret, and what may be seen.
func withSecret() []string {
	return []string{
		`environment = { NOTES_SERVER = name }`, `environment = { NOTES_SERVER = name, CANARY = var.canary }`,
		`NOTES_DB_PASSWORD = var.database_password`, `NOTES_DB_PASSWORD = var.database_password, TOKEN = var.token`,
	}
}

const variables = `
variable "canary" {
  type = string
}

variable "token" {
  type      = string
  ephemeral = true
  sensitive = true
}
`

// quarry returns the hunt for all secrets of a stack that is applied, and for
// a canary.
func (s *stack) quarry(bird, token string, reader pki.Issued) *hunt {
	s.t.Helper()
	h := &hunt{forms: map[string][]string{
		canary:          {bird},
		"a private key": {"PRIVATE KEY-----"},
		"a proof":       {`"proof":"`, `\"proof\":\"`},
	}}
	h.add("the app's secret", []byte(token))
	h.add("the app's secret", []byte(s.password))
	h.add("the CA's seed", seedBytes(s.t))
	h.addKey("the reader's key", s, reader.KeyPEM())
	for _, machine := range machines() {
		h.add("the enrolment key of "+machine, s.authority().EnrollKey(machine, int64(s.lab.Incarnation(machine))))
		var identity struct {
			Key api.Secret `json:"key"`
		}
		if err := json.Unmarshal([]byte(s.lab.Exec(machine, "cat", "/var/lib/foobar/identity/identity.json")), &identity); err != nil {
			s.t.Fatal(err)
		}
		h.addKey("the key of "+machine, s, identity.Key)
	}
	return h
}

// addKey adds a private key.
func (h *hunt) addKey(name string, s *stack, text api.Secret) {
	s.t.Helper()
	key, err := pki.ParseKey(text)
	if err != nil {
		s.t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(text.Reveal()))
	h.add(name, block.Bytes)
	h.add(name, key[:ed25519.SeedSize])
}

// seedBytes returns the CA's seed.
func seedBytes(t *testing.T) []byte {
	t.Helper()
	text := strings.TrimSpace(os.Getenv("FOOBAR_CA_SEED"))
	if seed, err := hex.DecodeString(text); err == nil {
		return seed
	}
	seed, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(seed) != pki.SeedSize {
		t.Fatal("FOOBAR_CA_SEED is no seed")
	}
	return seed
}

// inTheMachine follows the canary in the name of a process of a machine.
const inTheMachine = "-in-the-machine"

// plant puts the canary where only a machine itself can put it.
func (s *stack) plant(bird string) {
	s.t.Helper()
	for _, machine := range machines() {
		s.lab.Exec(machine, "sh", "-c", "logger "+bird+"; echo "+bird+" >/run/open; umask 077; echo "+bird+" >/run/closed")
	}
	// In pieces, so that the whole is only among the machine's own processes.
	s.lab.Exec("web1", "sh", "-c", fmt.Sprintf(`exec sh -c 'sleep 1; true' "%s""%s"`, bird, inTheMachine))
}

func TestHuntFindsWhatIsThere(t *testing.T) {
	secret := []byte("\x00\xff a secret of many bytes")
	h := &hunt{forms: map[string][]string{}}
	h.add("it", secret)
	for _, text := range []string{
		string(secret), hex.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret), base64.URLEncoding.EncodeToString(secret),
	} {
		if found := h.in("before " + text + " after"); !slices.Equal(found, []string{"it"}) {
			t.Errorf("in %q was found %v", text, found)
		}
	}
	if found := h.in("nothing of that kind"); found != nil {
		t.Errorf("found was %v, where nothing is", found)
	}
}

func TestSecretsStayWhereTheyBelong(t *testing.T) {
	since := time.Now().Add(-time.Second)
	s := newStack(t)
	bird, token, reader := "canary-"+rand.Text(), "token-"+rand.Text(), s.reader()
	trace := filepath.Join(t.TempDir(), "trace.log")
	s.env = append(s.env, "TF_VAR_token="+token, "TF_LOG=trace", "TF_LOG_PATH="+trace)
	s.write("variables_secret.tf", variables)
	s.edit(withSecret()...)
	listed := processes(t.Context())

	said := s.must("apply", "-no-color", "-input=false", "-auto-approve", "-var=canary="+bird)
	s.edit(append(withSecret(), `max_connections = 5000`, `max_connections = 4000`)...)
	file := filepath.Join(t.TempDir(), "plan")
	said += s.must("plan", "-no-color", "-input=false", "-var=canary="+bird, "-out="+file)
	shown := s.must("show", "-json", file)
	said += s.must("apply", "-no-color", "-input=false", file)
	s.withReader(reader, func() { said += s.must("plan", "-no-color", "-input=false", "-var=canary="+bird) })
	s.plant(bird)

	h := s.quarry(bird, token, reader)
	h.clean(t, "what Terraform says", said)
	processes := listed()
	h.clean(t, "processes", processes)
	if !strings.Contains(processes, bird+inTheMachine) {
		t.Error("the processes of machines were not looked at")
	}
	h.clean(t, "the trace", s.text(trace))
	h.clean(t, "the plan in JSON", withoutBootstraps(t, shown))
	h.without("the enrolment key").clean(t, "the plan file", unzipped(t, file))
	state := s.text(filepath.Join(s.directory, "terraform.tfstate"))
	h.clean(t, "the state but for the bootstraps", withoutBootstraps(t, state))
	h.without("the enrolment key").clean(t, "the state", state)
	for _, machine := range machines() {
		if found := h.in(state); !slices.Contains(found, "the enrolment key of "+machine) {
			t.Errorf("the enrolment key of %s is not in the state; found was %v", machine, found)
		}
		h.clean(t, "the journal of "+machine, s.lab.Exec(machine, "journalctl", "--namespace=*", "--all", "--no-pager", "--output=export"))
		if found, want := h.holding(s.files(machine, nobody, since)), map[string][]string{"/run/open": {canary}}; !reflect.DeepEqual(found, want) {
			t.Errorf("in files that everybody may read on %s was found %v, not %v", machine, found, want)
		}
		s.ownSecrets(machine, h.holding(s.files(machine, root, since)))
	}

	// The app may say what it likes: Terraform shows it without the secret.
	s.edit(append(withSecret(), `"python3", "-m", "uvicorn", "main:app",`,
		`"python3", "-c", "import os; raise SystemExit(os.environ['CANARY'] + os.environ['TOKEN'])", # `)...)
	h.clean(t, "the last words of an app", s.refused("apply", "-auto-approve", "-var=canary="+bird))
	h.clean(t, "the trace of a refusal", s.text(trace))
}

// ownSecrets fails the test if files that only root may read hold secrets that
// have no place there.
func (s *stack) ownSecrets(machine string, found map[string][]string) {
	s.t.Helper()
	for path, names := range found {
		for _, name := range names {
			belongs := name == canary ||
				name == "the key of "+machine && path == "/var/lib/foobar/identity/identity.json" ||
				name == "a private key" && path == "/var/lib/foobar/identity/identity.json" ||
				name == "the enrolment key of "+machine && strings.HasSuffix(path, "/foobar.bootstrap") ||
				name == "the app's secret" && (strings.HasPrefix(path, "/var/lib/foobar/secrets/") || strings.HasSuffix(path, ".secrets"))
			if !belongs {
				s.t.Errorf("%s is in %s on %s", name, path, machine)
			}
		}
	}
}

// text returns the content of a file.
func (s *stack) text(path string) string {
	s.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}
