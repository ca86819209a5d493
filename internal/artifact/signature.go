package artifact

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"hash"
	"slices"
	"strings"

	"aead.dev/minisign"
	"golang.org/x/crypto/blake2b"
)

// SignatureError says what is wrong with a signature or a key. The text is for
// the person who signs; it holds nothing of what was given as a key.
type SignatureError struct {
	// At is "signature" or, with the number of a key, "public_keys/0".
	At string
	// Reason says what was found, what is allowed and what to do.
	Reason string
}

// Error implements [error].
func (e *SignatureError) Error() string { return e.Reason }

// Signature is a minisign signature of an artifact, and the keys of which one
// has to have made it.
type Signature struct {
	parsed minisign.Signature
	keys   []minisign.PublicKey
}

// ParseSignature reads the content of a .minisig file and of public keys, and
// returns all that is wrong with them. Whether the signature holds is for
// [Signature.Check] to say.
func ParseSignature(text string, keys []string) (*Signature, []*SignatureError) {
	s := &Signature{}
	var found []*SignatureError
	if reason := s.parse(text); reason != "" {
		found = append(found, &SignatureError{"signature", "the signature " + reason})
	}
	for i, text := range keys {
		if reason := s.addKey(text); reason != "" {
			found = append(found, &SignatureError{fmt.Sprintf("public_keys/%d", i), "the key " + reason})
		}
	}
	if len(found) > 0 {
		return nil, found
	}
	return s, nil
}

const (
	untrustedPrefix = "untrusted comment:"
	trustedPrefix   = "trusted comment: "

	// signatureSize and commentSize are those of what is in lines 2 and 4.
	signatureSize = 2 + 8 + ed25519.SignatureSize
	commentSize   = ed25519.SignatureSize
)

// parse reads the signature and returns what is wrong with it, "" if nothing is.
func (s *Signature) parse(text string) string {
	const whole = `give the whole content of the .minisig file, such as file("FILE.minisig")`
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	switch {
	case !strings.HasPrefix(lines[0], untrustedPrefix):
		return "is no minisign signature, which begins with \"" + untrustedPrefix + "\"; " + whole
	case len(lines) < 4:
		return fmt.Sprintf("was cut short: it has %d of the 4 lines of a minisign signature; %s", len(lines), whole)
	case len(lines) > 4:
		return fmt.Sprintf("has %d lines, and a minisign signature has 4; %s", len(lines), whole)
	case !strings.HasPrefix(lines[2], trustedPrefix):
		return "is damaged: its third line does not begin with \"" + trustedPrefix + "\"; " + whole
	}
	for _, of := range []struct{ line, size int }{{2, signatureSize}, {4, commentSize}} {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimRight(lines[of.line-1], "\r"))
		if err != nil || len(raw) != of.size {
			return fmt.Sprintf("is damaged or was cut short in line %d, which is to be the base64 of %d bytes; %s", of.line, of.size, whole)
		}
		if of.line == 2 && string(raw[:2]) == "Ed" {
			return `is of minisign's old format, for which the whole file has to be in memory; sign the file with "minisign -S -H -m FILE", which signs its hash`
		}
	}
	if err := s.parsed.UnmarshalText([]byte(text)); err != nil || s.parsed.Algorithm != minisign.HashEdDSA {
		return `is of an algorithm that is not known here; sign the file with "minisign -S -H -m FILE"`
	}
	return ""
}

// addKey returns what is wrong with a key, "" if nothing is.
func (s *Signature) addKey(text string) string {
	var key minisign.PublicKey
	if err := key.UnmarshalText([]byte(text)); err != nil {
		if strings.Contains(text, "secret key") || len(strings.TrimSpace(text)) > 2*base64.StdEncoding.EncodedLen(publicKeySize) {
			return "is no public key, and may be the secret one; give the public key, which is in the .pub file, and if it is the secret key, make another one: it may be in logs by now"
		}
		return "is no minisign public key; give the content of a .pub file, or its second line, which begins with RW and has 56 characters"
	}
	if slices.ContainsFunc(s.keys, func(other minisign.PublicKey) bool { return other.Equal(key) }) {
		return "is given twice; the second key is for the time in which the first is replaced"
	}
	s.keys = append(s.keys, key)
	return ""
}

// publicKeySize is that of a public key: algorithm, identifier and key.
const publicKeySize = 2 + 8 + ed25519.PublicKeySize

// Comment returns the trusted comment, as it was written.
func (s *Signature) Comment() string { return s.parsed.TrustedComment }

// KeyID returns the identifier of the key that the signature says it was made
// with, as minisign prints it.
func (s *Signature) KeyID() string { return keyID(s.parsed.KeyID) }

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// Check reports why the signature is not one of a file with this digest and of one of
// the keys, as a [SignatureError]; nil if it is.
func (s *Signature) Check(d Digest) error {
	var known []string
	for _, key := range s.keys {
		if key.ID() != s.parsed.KeyID {
			known = append(known, keyID(key.ID()))
			continue
		}
		// With the comment's signature this key has made all of it, and nothing was changed.
		whole := verifies(key, append(bytes.Clone(s.parsed.Signature[:]), s.parsed.TrustedComment...), s.parsed.CommentSignature)
		if whole && verifies(key, d, s.parsed.Signature) {
			return nil
		}
		if whole {
			return &SignatureError{"signature", fmt.Sprintf("the signature belongs to another file: the key %s made it, and not for this artifact; sign this file, or give the file that was signed", s.KeyID())}
		}
		return &SignatureError{"signature", fmt.Sprintf("the signature is not of the key %s, which it names: it was changed, or another key has the same identifier; sign the file again", s.KeyID())}
	}
	return &SignatureError{"signature", fmt.Sprintf("the signature was made with the key %s, and allowed is %s; sign the file with that key, or add the other one to public_keys", s.KeyID(), strings.Join(known, " or "))}
}

// verifies reports whether a key has signed a message. The library itself verifies
// whole files alone.
func verifies(key minisign.PublicKey, message []byte, signature [ed25519.SignatureSize]byte) bool {
	raw, err := base64.StdEncoding.DecodeString(key.String())
	return err == nil && len(raw) == publicKeySize &&
		ed25519.Verify(raw[publicKeySize-ed25519.PublicKeySize:], message, signature[:])
}

// Digest is what a signature signs of a file: its BLAKE2b-512.
type Digest []byte

// DigestSize is the length of a [Digest] in bytes.
const DigestSize = blake2b.Size

// NewHash returns a hash whose sum is a [Digest].
func NewHash() hash.Hash {
	h, err := blake2b.New512(nil)
	if err != nil { // only of a key that is too long, and there is none
		panic(err)
	}
	return h
}
