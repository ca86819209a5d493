package api

import "time"

// Role is what a client certificate allows.
type Role string

// The roles.
const (
	// RoleAdmin may do everything: the provider while it runs.
	RoleAdmin Role = "admin"
	// RoleReader may look at everything that is no secret.
	RoleReader Role = "reader"
	// RoleNode is a machine's own role towards others of its group.
	RoleNode Role = "node"
)

// Roles lists the roles.
func Roles() []Role { return []Role{RoleAdmin, RoleReader, RoleNode} }

// DefaultPort is the TCP port of an agent.
const DefaultPort = 9443

// SSHPort is the TCP port of SSH, by which people reach a machine when nothing else
// works (RFC 4253, section 4). No component may take it from the machine's own server.
const SSHPort = 22

// Health is what GET /v1/health answers, also before enrolment.
type Health struct {
	// Node is the machine's name.
	Node string `json:"node"`
	// Incarnation tells which machine of that name it is.
	Incarnation int64 `json:"incarnation"`
	Enrolled    bool  `json:"enrolled"`
	// Conditions are what is wrong with the machine itself.
	Conditions []Condition `json:"conditions,omitempty"`
}

// Info is what GET /v1/info answers.
type Info struct {
	Health
	Deployment string `json:"deployment"`
	// Version is the agent's, APIVersions what it speaks, such as "v1".
	Version     string   `json:"version"`
	APIVersions []string `json:"api_versions"`
	// Features names what this agent can do beyond the first release; a spec
	// that needs a feature which is missing is refused at plan.
	Features []string `json:"features"`
	// ImageID names the image, BootID the present boot of the machine.
	ImageID string `json:"image_id"`
	BootID  string `json:"boot_id"`
	// BootedAt is when the machine was booted.
	BootedAt time.Time `json:"booted_at"`
	// Time is the machine's clock.
	Time time.Time `json:"time"`
	// Key is the pin of the machine's public key, see [Bootstrap].
	Key string `json:"key"`
	// CertificateExpires is the end of the machine's certificate.
	CertificateExpires time.Time `json:"certificate_expires"`
	// TrustedCAs are the CAs that the machine, and its services, trust.
	TrustedCAs []TrustedCA `json:"trusted_cas"`
}

// TrustedCA is a CA that a machine trusts.
type TrustedCA struct {
	// Pin is that of the CA's key, see [KeyPin].
	Pin string `json:"pin"`
	// Name is what its certificate calls it, which anybody can choose.
	Name string `json:"name"`
	// Expires is the end of its certificate.
	Expires time.Time `json:"expires"`
}

// BlobStatus is what HEAD and PATCH of a blob answer.
type BlobStatus struct {
	// Complete tells whether the whole blob is there and its checksum holds.
	Complete bool `json:"complete"`
	// Offset is how many bytes of an unfinished upload have arrived.
	Offset int64 `json:"offset"`
}

// LogLine is one line of GET /v1/logs?unit=…&lines=N, oldest first.
type LogLine struct {
	Time time.Time `json:"time"`
	// Unit is the unit that wrote the line, or that systemd writes about.
	Unit string `json:"unit"`
	// Message is as it was written: a terminal must be given [Visible] of it.
	Message string `json:"message"`
	// Manager tells that the line is systemd's own, about the unit.
	Manager bool `json:"manager,omitempty"`
}

// Logs is what GET /v1/logs answers.
type Logs struct {
	Lines []LogLine `json:"lines"`
}

// Audit is what GET /v1/audit?after=SEQ answers, and of refused calls GET
// /v1/audit/refused?after=SEQ: the entries after that one, oldest first, at most a
// thousand at a time.
type Audit struct {
	Entries []AuditEntry `json:"entries"`
}

// AuditEntry is one mutating call, or one that was denied, or how many more of a
// caller were denied. Long texts of the caller are cut.
type AuditEntry struct {
	// Seq numbers the entries of a log from 1 without gaps.
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	// Actor is the subject of the client's certificate, Role its role, Peer
	// the address that it called from.
	Actor string `json:"actor"`
	Role  Role   `json:"role"`
	Peer  string `json:"peer"`
	// Method and Path are the call, Status the answer's.
	Method string `json:"method"`
	Path   string `json:"path"`
	Status int    `json:"status"`
	// Problem is the type of the problem that it ended with, if any.
	Problem ProblemType `json:"problem,omitempty"`
	// Operation is the operation that it started or joined, if any.
	Operation string `json:"operation,omitempty"`
	// Detail says what the call was about, where its path does not: the pins
	// of the CAs that a machine was to trust, for one.
	Detail string `json:"detail,omitempty"`
	// Previous is the Hash of the entry before, empty for the first. Hash is
	// the SHA-256, in hexadecimal, of the entry as the machine recorded it: who
	// keeps the last one that was read can tell that nothing before it changed.
	Previous string `json:"previous"`
	Hash     string `json:"hash"`
}

// ServiceLeaf asks for and carries the certificate of a service: the key is
// made on the machine, the names come from the spec, and the provider signs
// during the apply that needs it.
type ServiceLeaf struct {
	// CSR is a PEM certificate request; its names are ignored by the signer.
	CSR string `json:"csr"`
	// Certificate is the PEM chain that answers it; empty until it is signed.
	Certificate string `json:"certificate,omitempty"`
	// Expires is the certificate's end, zero until it is signed.
	Expires time.Time `json:"expires,omitzero"`
}
