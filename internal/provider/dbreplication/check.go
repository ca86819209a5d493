package dbreplication

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// check returns what is wrong with a configuration and does not show in its
// spec: names that the spec has only once, and what is write-only.
func check(config model) api.Violations {
	var v api.Violations
	for _, name := range slices.Sorted(maps.Keys(config.Members)) {
		checkMember(&v, config, name)
	}
	for _, name := range slices.Sorted(maps.Keys(config.Witnesses)) {
		at, machine := api.Pointer("/witnesses").At(name, "name"), config.Witnesses[name].Name
		switch {
		case machine.IsNull():
			v.Add(at, "the machine has no name; give it one")
		case machine.ValueString() != name:
			v.Add(at, "the machine is %q; name the witness like its machine: %s = …", machine.ValueString(), machine.ValueString())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(config.Users)) {
		checkPassword(&v, api.Pointer("/users").At(name), config.Users[name])
	}
	return v
}

func checkMember(v *api.Violations, config model, name string) {
	at, m := api.Pointer("/members").At(name), config.Members[name]
	if machine := m.machine().Name; !machine.IsNull() && machine.ValueString() != name {
		v.Add(at.At("machine"), "the server is on the machine %q; name the member like its machine: %s = { server = … }",
			machine.ValueString(), machine.ValueString())
	}
	first := engineOf(config.Members[config.Primary])
	if engine := engineOf(m); first != "" && engine != "" && engine != first {
		v.Add(at.At("engine"), "is %q, and that of the primary %q is %q; all members have one engine", engine, config.Primary, first)
	}
}

func engineOf(m member) string {
	if m.Server == nil {
		return ""
	}
	return tfutil.Or(m.Server.Engine, "")
}

// checkPassword demands both of a password and its version.
func checkPassword(v *api.Violations, at api.Pointer, u user) {
	switch {
	case u.PasswordWO == nil && u.PasswordWOVersion == nil:
		v.Add(at, "the user has no password; set password_wo, and password_wo_version = 1")
	case u.PasswordWO == nil:
		v.Add(at.At("password_version"), "the version has no password; set password_wo too: every apply needs it, because Terraform does not keep it")
	case u.PasswordWOVersion == nil:
		v.Add(at.At("password"), "the password has no version; set password_wo_version = 1, and raise it with each change of the password")
	case *u.PasswordWO == "":
		v.Add(at.At("password"), "the password is empty; give the user one")
	}
}

// guess sets in a configuration that is checked by itself what follows from
// what is not known yet, and what [check] has checked already.
func guess(config *model) {
	config.Members, config.Users = maps.Clone(config.Members), maps.Clone(config.Users)
	for i, name := range slices.Sorted(maps.Keys(config.Members)) {
		m := config.Members[name]
		if m.Address == nil && m.machine().Address.IsNull() {
			m.Address = new(fmt.Sprint(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}))) // RFC 2544: for trials
		}
		config.Members[name] = m
	}
	for name, u := range config.Users {
		if u.PasswordWOVersion == nil {
			u.PasswordWOVersion = new(int64(1))
		}
		config.Users[name] = u
	}
}
