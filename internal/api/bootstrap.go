package api

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

const (
	// BootstrapVersion is the version of the [Bootstrap] document that this
	// release writes and reads.
	BootstrapVersion = 1
	// BootstrapPath is where a machine finds its bootstrap, mode 0600.
	BootstrapPath = "/etc/foobar/bootstrap.json"
	// BootstrapCredential is the systemd credential that is looked for first.
	BootstrapCredential = "foobar.bootstrap"
	// MaxAuthorities bounds a list of CA certificates: the old one, the new
	// one, and one to spare.
	MaxAuthorities = 3
	// EnrollKeySize is the length of an enrolment key, in bytes.
	EnrollKeySize = 32
	// maxBootstrap bounds the document, in bytes; it has about 1 KB with one CA.
	maxBootstrap = 16 << 10
)

// Bootstrap is all that a new machine is given: who it is, whom it obeys, and
// the key that proves it once. A cloud passes it on as user-data, a
// hypervisor as a systemd credential.
type Bootstrap struct {
	// V is [BootstrapVersion].
	V int `json:"v"`
	// Deployment and Node name the machine; Incarnation counts, from 1, the
	// machines that have borne that name.
	Deployment  string `json:"deployment"`
	Node        string `json:"node"`
	Incarnation int64  `json:"incarnation"`
	// CA holds the PEM certificates, one to three, that a client's
	// certificate must come from.
	CA []string `json:"ca"`
	// EnrollKey is the single-use key, 32 bytes in standard base64.
	EnrollKey Secret `json:"enroll_key"`
	// Listen is where the agent listens, "host:port"; an empty host is every address.
	Listen string `json:"listen"`
}

// ParseBootstrap reads a bootstrap strictly. Its error is one line that says
// what is wrong and what to do, and never quotes the document: it holds a key.
func ParseBootstrap(data []byte) (Bootstrap, error) {
	var b Bootstrap
	if err := checkBootstrapText(data); err != nil {
		return Bootstrap{}, fmt.Errorf("bootstrap: %w", err)
	}
	if err := Decode(data, &b); err != nil {
		return Bootstrap{}, fmt.Errorf("bootstrap: %s", bootstrapFault(err))
	}
	if err := b.Check(); err != nil {
		return Bootstrap{}, fmt.Errorf("bootstrap: %w", err)
	}
	return b, nil
}

// checkBootstrapText finds what makes a strict reading pointless: nothing
// there, half of it there, or a version that has other members.
func checkBootstrapText(data []byte) error {
	if len(data) > maxBootstrap {
		return fmt.Errorf("has %d bytes; at most %d are read", len(data), maxBootstrap)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return errors.New("is empty; give the machine the user_data of its foobar_bootstrap")
	}
	var version struct {
		V *int `json:"v"`
	}
	err := json.Unmarshal(data, &version)
	syntax, malformed := errors.AsType[*json.SyntaxError](err)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), malformed && syntax.Offset >= int64(len(data)):
		return fmt.Errorf("is cut off after %d bytes; give the machine the whole user_data of its foobar_bootstrap", len(data))
	case malformed:
		return fmt.Errorf("is not JSON at byte %d; give the machine the user_data of its foobar_bootstrap unchanged", syntax.Offset)
	case err != nil:
		return errors.New("is not an object with a number \"v\"; give the machine the user_data of its foobar_bootstrap unchanged")
	case version.V == nil:
		return errors.New("has no version \"v\"; give the machine the user_data of its foobar_bootstrap unchanged")
	case *version.V != BootstrapVersion:
		return fmt.Errorf("has version %d, and this agent reads version %d; use an image and a provider of the same release", *version.V, BootstrapVersion)
	}
	return nil
}

// bootstrapFault puts a decoding problem into one line.
func bootstrapFault(err error) string {
	problem := AsProblem(err)
	if len(problem.Violations) == 0 {
		return problem.Title
	}
	first := problem.Violations[0]
	return fmt.Sprintf("%q %s", first.Pointer, first.Detail)
}

// Check reports the first thing that is wrong with b, nil if nothing is.
func (b Bootstrap) Check() error {
	if b.V != BootstrapVersion {
		return fmt.Errorf("/v is %d, and must be %d", b.V, BootstrapVersion)
	}
	if err := CheckName(b.Deployment); err != nil {
		return fmt.Errorf("/deployment: %w", err)
	}
	if err := CheckName(b.Node); err != nil {
		return fmt.Errorf("/node: %w", err)
	}
	if b.Incarnation < 1 {
		return fmt.Errorf("/incarnation is %d, and counts from 1", b.Incarnation)
	}
	if _, err := ParseAuthorities(b.CA); err != nil {
		return fmt.Errorf("/ca: %w", err)
	}
	if _, err := b.Key(); err != nil {
		return fmt.Errorf("/enroll_key: %w", err)
	}
	if err := CheckListen(b.Listen); err != nil {
		return fmt.Errorf("/listen: %w", err)
	}
	return nil
}

// Key returns the enrolment key's bytes.
func (b Bootstrap) Key() ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(b.EnrollKey.Reveal())
	if err != nil || len(key) != EnrollKeySize {
		return nil, fmt.Errorf("is not %d bytes in standard base64", EnrollKeySize)
	}
	return key, nil
}

// JSON returns the document's one text, ended by a newline: what stands in
// [BootstrapPath] and in the credential. It shows the enrolment key.
func (b Bootstrap) JSON() []byte { return append(Encode(b), '\n') }

// UserData returns a cloud-init document that puts b where the agent looks
// for it. It shows the enrolment key.
func (b Bootstrap) UserData() string {
	return "#cloud-config\n" +
		"write_files:\n" +
		"  - path: " + BootstrapPath + "\n" +
		"    owner: root:root\n" +
		"    permissions: \"0600\"\n" +
		"    content: |\n" +
		"      " + string(b.JSON()) // one line, in which a YAML block escapes nothing
}

// ParseAuthorities reads a list of one to three CA certificates in PEM, one
// certificate to an element.
func ParseAuthorities(list []string) ([]*x509.Certificate, error) {
	if len(list) == 0 || len(list) > MaxAuthorities {
		return nil, fmt.Errorf("has %d certificates; 1 to %d are allowed", len(list), MaxAuthorities)
	}
	certificates := make([]*x509.Certificate, 0, len(list))
	for i, text := range list {
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
			return nil, fmt.Errorf("element %d is not one PEM certificate", i)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("element %d is not a certificate: %w", i, err)
		}
		if !certificate.IsCA || !certificate.BasicConstraintsValid {
			return nil, fmt.Errorf("element %d is the certificate of %q, which is no CA", i, certificate.Subject.CommonName)
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

// CheckListen reports why listen cannot be where an agent listens, nil if it can.
func CheckListen(listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("%q is not \"host:port\", such as \":%d\" or \"10.0.0.1:%d\"", listen, DefaultPort, DefaultPort)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no port from 0 to 65535", listen)
	}
	if host != "" && net.ParseIP(host) == nil {
		return fmt.Errorf("%q is not an address of this machine: give an IP address, or none for every address", listen)
	}
	return nil
}

const keyPinPrefix = "sha256:"

// KeyPin returns the pin of a public key: "sha256:" and the SHA-256, in
// hexadecimal, of its SubjectPublicKeyInfo in DER.
func KeyPin(spki []byte) string {
	sum := sha256.Sum256(spki)
	return keyPinPrefix + hex.EncodeToString(sum[:])
}

// CheckKeyPin reports why pin cannot be one, nil if it can.
func CheckKeyPin(pin string) error {
	digits, ok := strings.CutPrefix(pin, keyPinPrefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size || digits != strings.ToLower(digits) {
		return fmt.Errorf("%q is not the pin of a key: it is \"sha256:\" and 64 lower-case hexadecimal digits", pin)
	}
	return nil
}
