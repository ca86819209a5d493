package dbserver

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// byHand heads each file.
const byHand = "written by foobar-agent. An edit shows as drift and goes with the next apply."

// Render turns a spec into a configuration, a packet filter and a unit. It has
// no secrets. The data directory is not of it: nothing ever removes that.
func (k *Kind) Render(name string, spec operation.Spec, _ map[string]api.Secret, _ converge.InPlace) (converge.State, error) {
	typed, err := specOf(spec)
	if err != nil {
		return converge.State{}, err
	}
	p := PathsOf(name)
	leaf := k.LeafDir(api.ID{Kind: api.KindDBServer, Name: name}.LeafName())
	return converge.State{
		Dirs: []converge.Dir{{Path: p.Directory, Mode: 0o755, Owner: "root", Group: "root"}},
		Files: []converge.File{
			renderConfig(name, typed).File(p.Config, 0o644),
			renderClients(p, typed).File(p.Clients, 0o644),
			renderUnit(name, leaf, typed).File(p.UnitFile, 0o644),
			logs.Config(p.Unit),
		},
		Units: []converge.Unit{{Name: p.Unit}},
	}, nil
}

// renderConfig returns all that MariaDB reads: the unit names this file, so
// that none of Debian's is.
func renderConfig(name string, spec api.DBServer) *converge.Text {
	t := &converge.Text{}
	t.Own("# Database server "+name+", "+byHand, "[mariadbd]")
	for _, v := range variablesOf(name, spec) {
		t.From(v.pointer, "%s=%s", v.Name, v.value)
	}
	return t
}

// renderClients returns the table of the packet filter that cuts off everybody
// but the allowed clients and the machine itself. systemd's own filter by
// address is not used: where it does not work, as in containers, it lets all
// pass without a word.
//
// A rule names one network, so that the kernel lists the table as it is
// written here, which is how Observe compares them.
func renderClients(p Paths, spec api.DBServer) *converge.Text {
	t := &converge.Text{}
	t.Own("# Clients of the database server in "+p.Directory+", "+byHand,
		"table inet "+p.Table,
		"delete table inet "+p.Table,
		"table inet "+p.Table+" {",
		"\tchain input {",
		"\t\ttype filter hook input priority filter - 1; policy accept;",
		`		iif "lo" accept`)
	for i, address := range spec.ListenAddresses {
		family := ""
		if parsed, err := netip.ParseAddr(address); err == nil {
			family = familyOf(parsed) + " daddr " + address + " "
		}
		t.From(api.Pointer("/listen_addresses").At(i), "\t\t%stcp dport %d goto clients", family, spec.Port)
	}
	t.Own("\t}", "", "\tchain clients {")
	for i, text := range spec.AllowedClients {
		network, err := netip.ParsePrefix(text)
		if err != nil { // a valid spec has none
			continue
		}
		t.From(api.Pointer("/allowed_clients").At(i), "\t\t%s saddr %s accept", familyOf(network.Addr()), listed(network))
	}
	t.Own("\t\tmeta l4proto tcp reject with tcp reset", "\t}", "}")
	return t
}

func familyOf(address netip.Addr) string {
	if address.Is4() {
		return "ip"
	}
	return "ip6"
}

// listed writes a network as nft lists it.
func listed(network netip.Prefix) string {
	if network.IsSingleIP() {
		return network.Addr().String()
	}
	return network.String()
}

// tableOf returns the lines of the table in a rendered file, as nft lists it.
func tableOf(content []byte) []string {
	_, table, _ := strings.Cut(string(content), "delete table")
	_, table, _ = strings.Cut(table, "\n")
	return tableLines(table)
}

// tableLines returns the lines of a table without what has no meaning.
func tableLines(table string) []string {
	lines := strings.Split(table, "\n")
	for i, row := range lines {
		lines[i] = strings.TrimSpace(row)
	}
	return slices.DeleteFunc(lines, func(row string) bool { return row == "" })
}
