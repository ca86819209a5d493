package tfutil_test

import (
	"reflect"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

func TestMachineIsWhatItWasWhereTheConfigurationLeavesItOpen(t *testing.T) {
	machine := func(name, address string, incarnation types.Int64, key types.String) tfutil.Machine {
		return tfutil.Machine{Name: types.StringValue(name), Address: types.StringValue(address), Incarnation: incarnation, Key: key}
	}
	noIncarnation, noKey := types.Int64Null(), types.StringNull()
	anyIncarnation, anyKey := types.Int64Unknown(), types.StringUnknown()
	first, second, key, other := types.Int64Value(1), types.Int64Value(2), types.StringValue("sha256:00"), types.StringValue("sha256:01")
	before := machine("web1", "10.0.0.1", first, key)
	for name, c := range map[string]struct{ configured, before, want tfutil.Machine }{
		"the same":              {machine("web1", "10.0.0.1", first, key), before, before},
		"nothing but its name":  {machine("web1", "10.0.0.1", noIncarnation, noKey), before, before},
		"spelled otherwise":     {machine("web1", "10.0.0.1:9443", noIncarnation, noKey), before, before},
		"moved":                 {machine("web1", "10.0.0.9", noIncarnation, noKey), before, machine("web1", "10.0.0.9", first, key)},
		"rebuilt":               {machine("web1", "10.0.0.1", second, noKey), before, machine("web1", "10.0.0.1", second, anyKey)},
		"rebuilt and met":       {machine("web1", "10.0.0.1", second, other), before, machine("web1", "10.0.0.1", second, other)},
		"rebuilt in this apply": {machine("web1", "10.0.0.1", second, anyKey), before, machine("web1", "10.0.0.1", second, anyKey)},
		"never met":             {machine("web1", "10.0.0.1", noIncarnation, noKey), tfutil.Machine{}, machine("web1", "10.0.0.1", anyIncarnation, anyKey)},
		"another one":           {machine("web2", "10.0.0.1", noIncarnation, noKey), before, machine("web2", "10.0.0.1", anyIncarnation, anyKey)},
		"imported": {
			machine("web1", "10.0.0.1", noIncarnation, noKey), machine("web1", "10.0.0.1", noIncarnation, noKey),
			machine("web1", "10.0.0.1", anyIncarnation, anyKey),
		},
	} {
		if got := c.configured.Since(c.before); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestEndpointHasAPort(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1": "10.0.0.1:9443", "10.0.0.1:80": "10.0.0.1:80", "2001:db8::1": "[2001:db8::1]:9443", "web1.example": "web1.example:9443",
		"http://web1": "http://web1", // for others to refuse
	} {
		if got := (tfutil.Machine{Address: types.StringValue(address)}).Endpoint(); got != want {
			t.Errorf("%q is %q, not %q", address, got, want)
		}
	}
}
