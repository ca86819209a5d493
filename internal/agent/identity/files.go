package identity

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

const (
	namesFile = "machine.json"
	leavesDir = "leaves"
)

// Files are the kinds of files of an identity, in "identity" and beside it,
// below the agent's directory. Without the first the agent serves nothing: [Open]
// then returns a [Lost]. What follows from the identity is written again by [Open].
func Files() []statefile.Kind {
	const rewritten = "It was written again. Remove the damaged one to end this condition."
	const byApply = "The running service keeps what it has until its next start or reload. terraform apply of its component has another one made and signed."
	leaf := func(file, holds string, check func(string, []byte) error) statefile.Kind {
		return statefile.Kind{
			Pattern: filepath.Join("identity", leavesDir, "*", file), Holds: holds, Check: check, Severity: api.SeverityError,
			Then: byApply, Renewed: true,
		}
	}
	cas := leaf(leafCAFile, "the CAs that a service accepts", checkCAs)
	cas.Stays, cas.Then, cas.Renewed = true, rewritten, false
	cas.Here = "The running service keeps the CAs that it has. The next start of the agent writes the file again."
	return []statefile.Kind{
		{
			Pattern: filepath.Join("identity", recordFile), Holds: "the machine's identity", Stays: true, Check: checkIdentity,
			Severity: api.SeverityError, Then: rewritten,
			Here: "The agent goes on with what it has read until its next start, and then answers nobody. " + wayOut + ".",
		},
		{
			// A damaged one of a machine that is enrolled is a condition of the identity's own.
			Pattern: filepath.Join("identity", resetFile), Holds: "root's reset of the identity", Stays: true, Check: checkReset,
			Severity: api.SeverityError, Then: rewritten,
		},
		{
			Pattern: namesFile, Holds: "the machine's names", Stays: true, Check: checkNames,
			Severity: api.SeverityWarning, Then: rewritten, Here: "The next start of the agent writes it again.",
		},
		leaf(leafKeyFile, "the key of a service", checkKey),
		leaf(leafCertificateFile, "the certificate of a service", checkCertificate),
		cas,
		{
			Pattern: filepath.Join("identity", leavesDir, "*"), Holds: "the key and the certificate of a service", Dir: true,
			Severity: api.SeverityError, Then: byApply, Renewed: true,
		},
	}
}

// wayOut is what to do about a lost identity.
const wayOut = "Restore the file from a backup, or raise the incarnation of the machine's foobar_bootstrap and foobar_machine " +
	"and run with the new bootstrap: foobar-agent identity reset --bootstrap FILE"

func checkIdentity(_ string, content []byte) error {
	_, err := parseRecord(content)
	return err
}

func checkReset(_ string, content []byte) error {
	_, err := api.ParseBootstrap(content)
	return err
}

func checkNames(_ string, content []byte) error {
	_, err := parseNames(content)
	return err
}

func checkKey(_ string, content []byte) error {
	_, err := pki.ParseKey(api.Secret(content))
	return err
}

func checkCertificate(_ string, content []byte) error {
	_, err := pki.ParseCertificate(string(content))
	return err
}

func checkCAs(_ string, content []byte) error {
	bundle, err := pki.ParseBundlePEM(string(content))
	if err == nil && strings.Join(bundle.PEM(), "") != string(content) {
		err = fmt.Errorf("it holds more than %d CA certificates", len(bundle))
	}
	return err
}
