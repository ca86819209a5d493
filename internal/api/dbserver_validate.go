package api

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// anyAddress is the word for every address of the machine.
const anyAddress = "*"

// DefaultDBServer returns a database server that lacks only its server id.
func DefaultDBServer() DBServer {
	return DBServer{
		Engine: EngineMariaDB, ListenAddresses: []string{anyAddress}, Port: 3306,
		AllowedClients: []string{}, Settings: map[string]string{},
	}
}

// Claims returns the addresses that the database server listens on.
func (s DBServer) Claims() []Claim {
	claims := make([]Claim, 0, len(s.ListenAddresses))
	for _, address := range s.ListenAddresses {
		claims = append(claims, Claim{Network: "tcp", Address: address, Port: s.Port, Pointer: "/port"})
	}
	return claims
}

// Validate returns what is wrong with the database server on any machine, in
// the order of its fields. What only the engine can tell, such as whether it
// knows a collation, is left to the agent.
func (s DBServer) Validate() Violations {
	var v Violations
	oneOf(&v, "/engine", s.Engine, DBEngines())
	within(&v, "/server_id", int64(s.ServerID), ServerIDBounds(), "")
	s.validateListeners(&v)
	s.validateClients(&v)
	if slices.Contains(DBEngines(), s.Engine) {
		s.validateSettings(&v)
	}
	return v
}

func (s DBServer) validateListeners(v *Violations) {
	const at = Pointer("/listen_addresses")
	within(v, at, int64(len(s.ListenAddresses)), ListenBounds(), "addresses")
	for i, text := range s.ListenAddresses {
		switch address, err := netip.ParseAddr(text); {
		case text == anyAddress && len(s.ListenAddresses) > 1:
			v.Add(at.At(i), `"*" is every address already; take the others out`)
		case text == anyAddress:
		case err != nil || address.Zone() != "" || address.Is4In6() || address.IsMulticast() || address.IsUnspecified():
			v.Add(at.At(i), "%q is not an address to listen on: %s", text, ListenRule)
		case address.String() != text:
			v.Add(at.At(i), "%q is not in its shortest form; write %q", text, address)
		case slices.Contains(s.ListenAddresses[:i], text):
			v.Add(at.At(i), "%q is listed twice", text)
		}
	}
	validateListenPort(v, "/port", s.Port)
}

func (s DBServer) validateClients(v *Violations) {
	const at = Pointer("/allowed_clients")
	within(v, at, int64(len(s.AllowedClients)), ClientBounds(), "networks")
	for i, text := range s.AllowedClients {
		network, err := netip.ParsePrefix(text)
		switch {
		case err != nil || network.Addr().Is4In6():
			v.Add(at.At(i), "%q is not a network: write it as %q, or one machine as %q; names are not looked up", text, "10.0.0.0/24", "10.0.0.7/32")
		case network.Masked().String() != text:
			v.Add(at.At(i), "%q has bits set beyond its prefix; write %q", text, network.Masked())
		case slices.Contains(s.AllowedClients[:i], text):
			v.Add(at.At(i), "%q is listed twice", text)
		}
	}
}

func (s DBServer) validateSettings(v *Violations) {
	known := DBSettings(s.Engine)
	for _, name := range slices.Sorted(maps.Keys(s.Settings)) {
		if v.full() {
			return
		}
		at := Pointer("/settings").At(name)
		i := slices.IndexFunc(known, func(k DBSetting) bool { return k.Name == name })
		if i < 0 {
			v.Add(at, "%s", unknownSetting(s.Engine, name, known))
			continue
		}
		if _, err := known[i].Parse(s.Settings[name]); err != nil {
			v.Add(at, "%s", err)
		}
	}
}

// unknownSetting says why a name is no setting, and what may have been meant.
func unknownSetting(engine DBEngine, name string, known []DBSetting) string {
	plain := strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	if slices.ContainsFunc(known, func(k DBSetting) bool { return k.Name == plain }) {
		return say("%q is written %q here", name, plain)
	}
	if reason, refused := DBSettingRefused(engine, plain); refused {
		return say("%s cannot be set: it %s", Shorten(name, maxQuoted), reason)
	}
	names := make([]string, 0, len(known))
	for _, k := range known {
		names = append(names, k.Name)
	}
	return say("%q is not a setting of %s that can be given%s. The guide \"Settings of a database server\" lists all",
		name, engine, Suggest("; the nearest are ", Quoted(Nearest(plain, names))))
}
