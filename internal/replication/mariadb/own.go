package mariadb

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// ownState is what replication itself needs: an account for each member that may
// follow, one for the heartbeat that may write its row and nothing else, and one
// for the copies of the data, which the server's own user makes.
//
// A member's account takes the password and the member's own certificate. They
// are apart, and not one account for all, because MariaDB requires one subject of
// an account: a shared one would have to be in certificates that each machine
// keeps, and who was taken out of the replication would still have it.
func ownState(secrets replication.Secrets, osUser, owner string) (state, error) {
	s := state{databases: map[string]replication.Database{}, accounts: map[string]account{
		heartbeatUser: {
			name: heartbeatUser, host: "localhost", socket: true, secret: osUser, require: requireNone,
			onTable: "heartbeat", grants: map[string][]string{ownSchema: {"UPDATE"}},
		},
		backupUser: {
			name: backupUser, host: "localhost", socket: true, secret: owner, require: requireNone,
			global: []string{"BINLOG MONITOR", "LOCK TABLES", "PROCESS", "RELOAD"}, // what mariadb-backup asks for
		},
	}}
	for id, certificate := range secrets.Replicas {
		require, err := requireCertificate(certificate)
		if err != nil {
			return state{}, fmt.Errorf("the certificate of %s: %w", id, err)
		}
		a := account{name: replicaUser(id), host: "%", require: require, global: []string{"REPLICATION SLAVE"}}
		if secrets.Replication != "" {
			a.secret = nativeHash(secrets.Replication.Reveal())
		}
		s.accounts[a.name] = a
	}
	return s, nil
}

// formerReplica removes the account of a member that is one no more, and the one
// that all members shared before each had its own: it asks for no certificate.
func (b *builder) formerReplica(name string, wanted state) {
	former := name == formerReplicaUser || strings.HasPrefix(name, replicaPrefix)
	if _, still := wanted.accounts[name]; !still && former {
		b.add(fmt.Sprintf("user %q belongs to no member", name), "DROP USER IF EXISTS %s@'%%'", quoted(name))
	}
}

// What an account can require of its connections.
const (
	requireNone = "NONE"
	requireTLS  = "SSL"
	requireX509 = "X509"
)

// requireCertificate is the requirement of a certificate, as SQL has it.
func requireCertificate(c replication.Certificate) (string, error) {
	subject, err := oneLine(c.Subject)
	if err != nil {
		return "", err
	}
	issuer, err := oneLine(c.Issuer)
	if err != nil {
		return "", err
	}
	return certificateOf(subject, issuer), nil
}

func certificateOf(subject, issuer string) string {
	return "SUBJECT " + quoted(subject) + " AND ISSUER " + quoted(issuer)
}

// requirement reads what the server keeps of an account: ssl_type is 0 for none,
// 1 for any TLS, 2 for any certificate and 3 for what is named.
func requirement(sslType int, subject, issuer, cipher string) string {
	var named []string
	switch sslType {
	case 0:
		return requireNone
	case 1:
		return requireTLS
	case 2:
		return requireX509
	}
	if subject != "" {
		named = append(named, "SUBJECT "+quoted(subject))
	}
	if issuer != "" {
		named = append(named, "ISSUER "+quoted(issuer))
	}
	if cipher != "" {
		named = append(named, "CIPHER "+quoted(cipher))
	}
	return strings.Join(named, " AND ")
}

// oneLine writes a name as the server compares it, which is X509_NAME_oneline of
// OpenSSL: "/OU=db-server.main/CN=web1.shop.internal".
func oneLine(name pkix.Name) (string, error) {
	kinds := map[string]string{"2.5.4.3": "CN", "2.5.4.11": "OU"}
	var b strings.Builder
	for _, set := range name.ToRDNSequence() {
		for _, part := range set {
			kind, known := kinds[asn1.ObjectIdentifier(part.Type).String()]
			text, isText := part.Value.(string)
			// OpenSSL does not escape a slash: a value with one could be two.
			if !known || !isText || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '/' }) {
				return "", fmt.Errorf("the name %q cannot be required: it takes CN and OU, in plain ASCII without a slash", name)
			}
			b.WriteString("/" + kind + "=" + text)
		}
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("it has no name")
	}
	return b.String(), nil
}
