package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// A line of the log is an entry's JSON whose last member is its hash. The hash
// covers the bytes of the line before that member, and so the hash of the
// entry before, which is among them. Hashing bytes rather than values keeps a
// line verifiable by any version of the agent.
const (
	seal       = `,"hash":"`
	sealLength = len(seal) + 2*sha256.Size + len(`"}`)
)

// encode returns the line of an entry, without its newline, and fills in the
// entry's hash.
func encode(e *api.AuditEntry) []byte {
	e.Hash = ""
	open := bytes.TrimSuffix(api.Encode(e), []byte(seal+`"}`))
	e.Hash = digest(open)
	return fmt.Appendf(open, `%s%s"}`, seal, e.Hash)
}

// decode reads a line and checks that its hash is that of its bytes.
func decode(line []byte) (api.AuditEntry, error) {
	var e api.AuditEntry
	if err := json.Unmarshal(line, &e); err != nil {
		return e, fmt.Errorf("is no entry: %w", err)
	}
	if len(line) < sealLength || !bytes.HasPrefix(line[len(line)-sealLength:], []byte(seal)) {
		return e, errors.New("does not end in its hash")
	}
	if digest(line[:len(line)-sealLength]) != e.Hash {
		return e, errors.New("was changed: its hash does not hold")
	}
	return e, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// chain checks that entries follow on each other. Its zero value accepts any
// entry as the first, because older ones may have been rotated away.
type chain struct {
	last  api.AuditEntry
	begun bool
}

// follow takes the next entry and reports why it cannot be the next one.
func (c *chain) follow(e api.AuditEntry) error {
	previous := c.last
	begun := c.begun
	c.last, c.begun = e, true
	switch {
	case !begun && e.Seq == 1 && e.Previous != "":
		return errors.New("is the first entry but names one before it")
	case begun && e.Seq != previous.Seq+1:
		return fmt.Errorf("has number %d after number %d: entries are missing or were moved", e.Seq, previous.Seq)
	case begun && e.Previous != previous.Hash:
		return errors.New("does not hold the hash of the entry before it")
	}
	return nil
}
