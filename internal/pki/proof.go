package pki

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
)

// The label under which RFC 9266 binds to a TLS channel, and the length of
// the exporter that it defines, in bytes.
const (
	exporterLabel = "EXPORTER-Channel-Binding"
	exporterSize  = 32
)

// Side is who makes a proof.
type Side string

// The sides of an enrolment.
const (
	// SideNode is the machine.
	SideNode Side = "node"
	// SideController is the provider.
	SideController Side = "ctl"
)

// Exchange is what both sides of one enrolment have seen. A relay between
// them sees another exporter and another key, and so cannot pass a proof on.
type Exchange struct {
	// Exporter is the channel's, see [Exporter].
	Exporter []byte
	// SPKI is the public key, in DER, of the machine's TLS certificate.
	SPKI []byte
	// ProviderNonce and NodeNonce are each side's random bytes.
	ProviderNonce []byte
	NodeNonce     []byte
	// CSR is the machine's certificate request in DER.
	CSR []byte
}

// Proof returns what one side sends: the HMAC-SHA256, under the enrolment key,
// of the side and all of the exchange, every field after its length.
func (x Exchange) Proof(key []byte, side Side) []byte {
	request := sha256.Sum256(x.CSR)
	mac := hmac.New(sha256.New, key)
	for _, field := range [][]byte{[]byte(side), x.Exporter, x.SPKI, x.ProviderNonce, x.NodeNonce, request[:]} {
		_, _ = mac.Write(lengthPrefixed(field)) // a hash never fails to take bytes
	}
	return mac.Sum(nil)
}

// Proves reports, in a time that does not depend on the answer, whether proof
// is that of the given side.
func (x Exchange) Proves(key []byte, side Side, proof []byte) bool {
	return hmac.Equal(x.Proof(key, side), proof)
}

// Exporter returns the value that is the same at both ends of one TLS
// connection and on no other (RFC 9266).
func Exporter(state tls.ConnectionState) ([]byte, error) {
	value, err := state.ExportKeyingMaterial(exporterLabel, nil, exporterSize)
	if err != nil {
		return nil, fmt.Errorf("bind to the TLS channel: %w", err)
	}
	return value, nil
}
