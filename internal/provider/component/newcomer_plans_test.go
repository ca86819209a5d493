package component_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// A new member that holds data gets no copy of the primary's unseen: the plan
// asks the member itself, which the primary cannot do yet.
func TestAPlanLooksAtANewMembersData(t *testing.T) {
	server := api.ID{Kind: api.KindDBServer, Name: "notes"}
	holds := func(origin string, databases ...string) func(*providertest.Machine) {
		return func(m *providertest.Machine) {
			m.Shows(server, api.DBServerStatus{Version: "11.8.6-MariaDB", Origin: origin, Databases: append([]string{}, databases...)})
		}
	}
	nobody := func(m *providertest.Machine) {
		m.Fail(&client.Unreachable{Machine: "web2", Address: "10.0.0.2:9443", Err: errors.New("no route to host")})
	}
	forgets := func(m *providertest.Machine) { m.Forget(server) }
	const refused, replaced, unknown = "Data would be lost", "A new member's data are replaced", "A new member's data are not known"
	both := map[string]string{"web1": "1", "web2": "1"}
	alone := strings.Replace(database(both, "shop = {}"), "web2 = { server = foobar_db_server.web2 }\n", "", 1)
	for name, test := range map[string]struct {
		web2         func(*providertest.Machine) // nil for one that the apply makes
		reseed, says string
	}{
		"empty":                                {holds(""), "", ""},
		"empty, with a consent":                {holds(""), "web2", ""},
		"made by the apply":                    {forgets, "", ""},
		"on a machine made by it":              {nil, "", ""},
		"made by the apply, and consent":       {forgets, "web2", unknown},
		"on a machine made by it, and consent": {nil, "web2", ""},
		"data of its own":                      {holds("", "crm", "shop"), "", refused},
		"data of its own, and consent":         {holds("", "crm", "shop"), "web2", replaced},
		"of another replication":               {holds("other", "crm", "shop"), "", refused},
		"a former member":                      {holds("ours", "shop"), "", ""},
		"a former member, and consent":         {holds("ours", "shop"), "web2", "A new member's data may be replaced"},
		"its agent does not tell":              {func(m *providertest.Machine) { m.Shows(server, json.RawMessage(`{"version":"11.8.6-MariaDB"}`)) }, "", unknown},
		"its server is down":                   {func(m *providertest.Machine) { m.Shows(server, api.DBServerStatus{}) }, "", "the apply refuses it"},
		"its machine is away":                  {nobody, "", unknown},
		"its machine is away, and consent":     {nobody, "web2", "the apply replaces all its data by a copy of the primary's"},
	} {
		t.Run(name, func(t *testing.T) {
			machines := providertest.New("web1", "web2")
			before := alone
			if test.web2 == nil {
				before = database(map[string]string{"web1": "1"}, "shop = {}")
			}
			s := newState(t, machines, before)
			s.does(apply)
			holds("ours", "shop")(machines["web1"])
			if test.web2 != nil {
				test.web2(machines["web2"])
			}
			after := database(both, "shop = {}")
			if test.reseed != "" {
				after = strings.Replace(after, `primary   = "web1"`, `primary   = "web1"`+"\n  reseed    = { node = \""+test.reseed+"\", token = \"now\" }", 1)
			}
			s.write(after)
			if test.says == refused {
				s.fails("plan", refused, `databases: "crm", "shop"`, `reseed = { node = "web2"`)
				return
			}
			said := s.does("plan", test.says)
			if test.says == "" {
				s.silent(said, "Warning")
			}
			if test.says == replaced {
				s.silent(s.does(apply), refused)
				s.silent(s.does("plan", nothing), replaced)
			}
		})
	}
}
