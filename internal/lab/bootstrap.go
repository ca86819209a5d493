package lab

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// seed returns the text of the lab's CA seed. It is made once and outlives every
// "lab down", as the owner of a cloud account outlives the machines.
func (c Config) seed() (string, error) {
	text, err := os.ReadFile(c.SeedPath())
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the lab's CA seed: %w", err)
	}
	random := make([]byte, pki.SeedSize)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("make the lab's CA seed: %w", err)
	}
	made := base64.StdEncoding.EncodeToString(random)
	if err := os.MkdirAll(c.StateDir, 0o755); err != nil {
		return "", fmt.Errorf("make the lab's state directory: %w", err)
	}
	if err := renameio.WriteFile(c.SeedPath(), []byte(made+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the lab's CA seed: %w", err)
	}
	return made, nil
}

// Seed makes the lab's CA seed unless it is there, and returns the file's path.
func (l *Lab) Seed() (string, error) {
	_, err := l.seed()
	return l.SeedPath(), err
}

// bootstrapDocument is what a cloud would give a machine as user-data: the very
// document of the resource foobar_bootstrap for the same names and seed.
func bootstrapDocument(seed, deployment, node string, incarnation int) ([]byte, error) {
	parsed, err := pki.ParseSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("the lab's CA seed: %w", err)
	}
	authority, err := pki.NewAuthority(parsed, deployment, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("the lab's CA: %w", err)
	}
	document, err := pki.NewBootstrap(authority, node, int64(incarnation), fmt.Sprintf(":%d", api.DefaultPort))
	if err != nil {
		return nil, err
	}
	return document.JSON(), nil
}

// writeBootstrap makes a machine's bootstrap document. It is given to the machine
// as a credential, from a file, since arguments can be seen by all.
func (l *Lab) writeBootstrap(r record) error {
	seed, err := l.seed()
	if err != nil {
		return err
	}
	document, err := bootstrapDocument(seed, l.Deployment, r.Name, r.Incarnation)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(l.bootstrapPath(r.Name), document, 0o600); err != nil {
		return fmt.Errorf("write the bootstrap of machine %s: %w", r.Name, err)
	}
	return nil
}
