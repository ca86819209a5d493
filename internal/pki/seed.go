package pki

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// SeedSize is the length of a [Seed], in bytes.
const SeedSize = 32

// Seed is the one secret of an owner of machines: every CA and every enrolment
// key follows from it. It prints, formats and logs as a placeholder, and has
// no JSON form. The zero Seed is none.
type Seed struct {
	// bytes stands behind a pointer because package fmt prints the fields of a
	// struct that holds a Seed without asking the Seed.
	bytes *[SeedSize]byte
}

// ParseSeed reads 32 bytes in hexadecimal or in base64, with or without
// padding; surrounding space does not count. The error does not quote the text.
func ParseSeed(text string) (Seed, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Seed{}, errors.New("the CA seed is empty; make one with: openssl rand -base64 32")
	}
	data, err := decodeSeed(text)
	if err != nil {
		return Seed{}, fmt.Errorf("the CA seed is neither hexadecimal nor base64 (%d characters were given); make one with: openssl rand -base64 32", len(text))
	}
	if len(data) != SeedSize {
		return Seed{}, fmt.Errorf("the CA seed has %d bytes, and must have %d; make one with: openssl rand -base64 32", len(data), SeedSize)
	}
	bytes := [SeedSize]byte(data)
	if bytes == [SeedSize]byte{} {
		return Seed{}, errors.New("the CA seed is all zeros, which anybody can guess; make one with: openssl rand -base64 32")
	}
	return Seed{bytes: &bytes}, nil
}

// decodeSeed tries hexadecimal first: 64 hexadecimal digits are also valid
// base64, but of 48 bytes, which no seed has.
func decodeSeed(text string) ([]byte, error) {
	if len(text) == hex.EncodedLen(SeedSize) {
		if data, err := hex.DecodeString(text); err == nil {
			return data, nil
		}
	}
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
}

const placeholder = "(secret)"

// String returns a placeholder.
func (Seed) String() string { return placeholder }

// GoString returns a placeholder.
func (Seed) GoString() string { return placeholder }

// Format prints a placeholder for every verb.
func (Seed) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(placeholder)) }

// LogValue returns a placeholder.
func (Seed) LogValue() slog.Value { return slog.StringValue(placeholder) }

// FingerprintKey returns the key under which the provider fingerprints the
// secrets of a deployment, in its own state.
func (s Seed) FingerprintKey(deployment string) []byte {
	return s.derive(sha256.Size, "secret-fingerprints", deployment)
}

// derive returns n bytes that depend on the seed, the purpose and every
// field, as HKDF-SHA256 (RFC 5869) gives them.
func (s Seed) derive(n int, purpose string, fields ...string) []byte {
	info := lengthPrefixed([]byte("foobar/v1/" + purpose))
	for _, field := range fields {
		info = append(info, lengthPrefixed([]byte(field))...)
	}
	key, err := hkdf.Key(sha256.New, s.bytes[:], nil, string(info), n)
	if err != nil {
		panic(fmt.Sprintf("pki: derive %d bytes: %v", n, err)) // HKDF gives up to 8160
	}
	return key
}

// lengthPrefixed returns the field after its length in four bytes, big-endian:
// no two lists of fields have the same concatenation.
func lengthPrefixed(field []byte) []byte {
	out := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(field)), uint32(len(field))) //nolint:gosec // fields have a few hundred bytes
	return append(out, field...)
}
