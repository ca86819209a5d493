package agent

import (
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestReserved(t *testing.T) {
	for listen, want := range map[string]string{
		":9443":          "tcp *:9443",
		"10.0.0.1:9443":  "tcp 10.0.0.1:9443",
		"[::1]:9443":     "tcp [::1]:9443",
		"127.0.0.1:0":    "", // any port that is free
		"no address":     "",
		"10.0.0.1:https": "",
	} {
		got := ""
		for _, claim := range reserved(listen) {
			got += claim.String()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", listen, got, want)
		}
	}
}

func TestReservedPortIsClaimedFromComponents(t *testing.T) {
	component := api.Claim{Network: "tcp", Address: "*", Port: 9443}
	if !reserved("10.0.0.1:9443")[0].Overlaps(component) {
		t.Error("a component could take the agent's own port")
	}
}
