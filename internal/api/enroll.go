package api

import "time"

// NonceSize is the length of a nonce of the enrolment, in bytes.
const NonceSize = 32

// Enrolment takes two calls on one TLS connection, to whose exporter
// (RFC 9266) every proof is bound:
//
//	POST /v1/enroll         EnrollHello → EnrollOffer   the machine proves itself
//	POST /v1/enroll:finish  EnrollGrant → Enrolled      the provider proves itself
//
// The provider sends the second only if the first answer's proof holds.

// EnrollHello begins an enrolment.
type EnrollHello struct {
	// Nonce is the provider's, [NonceSize] random bytes.
	Nonce []byte `json:"nonce"`
}

// EnrollOffer is the machine's answer: a key of its own making, and the proof
// that it holds the enrolment key.
type EnrollOffer struct {
	// CSR is a DER certificate request for the key of the machine's TLS
	// certificate. The signer takes nothing from it but that key.
	CSR []byte `json:"csr"`
	// Nonce is the machine's, [NonceSize] random bytes.
	Nonce []byte `json:"nonce"`
	// Proof is the HMAC of the exchange with label "node".
	Proof []byte `json:"proof"`
}

// EnrollGrant makes the machine a member of the deployment.
type EnrollGrant struct {
	Certification
	// Proof is the HMAC of the exchange with label "ctl".
	Proof []byte `json:"proof"`
}

// Certification is a machine's certificate and whom it is to obey from now
// on. It is the body of POST /v1/identity:renew.
type Certification struct {
	// Chain holds PEM certificates, the machine's own first.
	Chain []string `json:"chain"`
	// CA is the list of accepted CA certificates in PEM, one to three.
	CA []string `json:"ca"`
	// Endorsements let in those of the CAs that the machine does not trust
	// yet: for each a PEM certificate of its name and key that a trusted CA
	// has signed. They count for minutes and are not kept.
	Endorsements []string `json:"endorsements,omitempty"`
}

// Enrolled is what a machine answers once it has stored its certificate.
type Enrolled struct {
	Deployment  string `json:"deployment"`
	Node        string `json:"node"`
	Incarnation int64  `json:"incarnation"`
	// Key is the pin of the machine's key, see [KeyPin].
	Key string `json:"key"`
	// Serial is the certificate's serial number in hexadecimal, Expires its end.
	Serial  string    `json:"serial"`
	Expires time.Time `json:"expires"`
}
