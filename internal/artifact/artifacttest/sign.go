package artifacttest

import (
	"bytes"
	"crypto/rand"
	"io"

	"aead.dev/minisign"
)

// NewKey returns a new public key, as the content of a .pub file, and what signs
// an artifact with its secret half, with a trusted comment.
func NewKey() (public string, sign func(content []byte, comment string) string) {
	key, secret, err := minisign.GenerateKey(rand.Reader)
	must(err)
	text, err := key.MarshalText()
	must(err)
	return string(text) + "\n", func(content []byte, comment string) string {
		r := minisign.NewReader(bytes.NewReader(content))
		_, err := io.Copy(io.Discard, r)
		must(err)
		return string(r.SignWithComments(secret, comment, "made by a test"))
	}
}
