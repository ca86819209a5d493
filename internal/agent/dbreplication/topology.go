package dbreplication

import (
	"maps"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// topologyOf returns what a spec asks of the replication. A machine's name is
// its id, and a member is known to the others by the name in its certificate,
// whatever its address is. Consents are none of it: they count once.
func topologyOf(name, deployment string, spec api.DBReplication) replication.Topology {
	t := replication.Topology{
		Name: name, Engine: spec.Engine, Primary: replication.NodeID(spec.Primary),
		Members: map[replication.NodeID]replication.Member{}, Catalog: catalogOf(spec),
		MaxLag: spec.MaxLag, LagHold: spec.LagHold, MinRetention: spec.MinBinlogRetention,
	}
	for machine, member := range spec.Members {
		t.Members[replication.NodeID(machine)] = replication.Member{
			Host: pki.NodeDNSName(deployment, machine), Port: member.Port, Delay: member.Delay,
		}
	}
	for _, machine := range slices.Sorted(maps.Keys(spec.Witnesses)) {
		t.Witnesses = append(t.Witnesses, replication.NodeID(machine))
	}
	return t
}

func catalogOf(spec api.DBReplication) replication.Catalog {
	c := replication.Catalog{Databases: map[string]replication.Database{}, Users: map[string]replication.User{}}
	for name, database := range spec.Databases {
		c.Databases[name] = replication.Database{Charset: database.Charset, Collation: database.Collation}
	}
	for name, user := range spec.Users {
		c.Users[name] = replication.User{Grants: user.Grants, RequireTLS: user.RequireTLS, PasswordVersion: user.PasswordVersion}
	}
	return c
}

// certificatesOf returns what each member shows to the others: the leaf of its
// database server. Its subject stays what it is over renewals, a rebuilt machine
// and a new seed, and so does the issuer.
func certificatesOf(deployment string, spec api.DBReplication) map[replication.NodeID]replication.Certificate {
	certificates := map[replication.NodeID]replication.Certificate{}
	for machine, member := range spec.Members {
		leaf := api.ID{Kind: api.KindDBServer, Name: member.Server}.LeafName()
		certificates[replication.NodeID(machine)] = replication.Certificate{
			Subject: pki.ServiceName(deployment, machine, leaf), Issuer: pki.AuthorityName(deployment),
		}
	}
	return certificates
}
