package converge

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What amends the units of a component is a drift of it, whether systemd has loaded
// them or not, also where its name begins as another one's; what is for all components
// of the kind, and what is ours, is none.
func TestForeignDropIns(t *testing.T) {
	const own = "/etc/systemd/system/app-shop@.service.d/ours.conf"
	all := []string{
		own,
		"/etc/systemd/system.control/app-shop@.service.d/50-MemoryMax.conf",
		"/etc/systemd/system.control/app-shop@blue.service.d/50-CPUWeight.conf",
		"/etc/systemd/system/app-.service.d/apps.conf",
		"/etc/systemd/system/app-shop-.service.d/shop.conf",
		"/etc/systemd/system/app-shop-@.service.d/slots.conf",
		"/etc/systemd/system/app-shop-@blue.service.d/slot.conf",
		"/etc/systemd/system/app-shop-nginx.service.d/override.conf",
		"/etc/systemd/system/app-shop@blue.service.d/override.conf",
		"/etc/systemd/system/app-shop@green.service.d/override.conf",
		"/etc/systemd/system/service.d/all.conf",
		"/run/systemd/system.control/app-shop@blue.service.d/50-IOWeight.conf",
		"/run/systemd/system/app-shop@.service.d/limit.conf",
		"/usr/lib/systemd/system/app-shop@.service.d/image.conf",
	}
	d := disk{t.TempDir()}
	for _, path := range append(all, "/etc/systemd/system/app-shop@blue.service.d/README") {
		if err := os.MkdirAll(filepath.Dir(d.path(path)), 0o755); err != nil { //nolint:gosec // as it is on a machine
			t.Fatal(err)
		}
		if err := os.WriteFile(d.path(path), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(d.path("/etc/systemd/system/app-shop@blue.service.d/directory.conf"), 0o700); err != nil { // systemd passes over it
		t.Fatal(err)
	}
	wanted := State{Files: []File{{Path: own}}}
	for _, c := range []struct {
		unit Unit
		want []string
	}{
		{Unit{Name: "app-shop@blue.service", Prefix: "app-"}, []string{
			"/etc/systemd/system.control/app-shop@.service.d/50-MemoryMax.conf",
			"/etc/systemd/system.control/app-shop@blue.service.d/50-CPUWeight.conf",
			"/etc/systemd/system/app-shop@blue.service.d/override.conf",
			"/run/systemd/system.control/app-shop@blue.service.d/50-IOWeight.conf",
			"/run/systemd/system/app-shop@.service.d/limit.conf",
		}},
		{Unit{Name: "app-shop-nginx.service", Prefix: "app-"}, []string{
			"/etc/systemd/system/app-shop-.service.d/shop.conf", "/etc/systemd/system/app-shop-nginx.service.d/override.conf",
		}},
		{Unit{Name: "app-shop-api@blue.service", Prefix: "app-"}, []string{
			"/etc/systemd/system/app-shop-.service.d/shop.conf",
			"/etc/systemd/system/app-shop-@.service.d/slots.conf",
			"/etc/systemd/system/app-shop-@blue.service.d/slot.conf",
		}},
		{Unit{Name: "app-shop-api-nginx.service", Prefix: "app-"}, []string{"/etc/systemd/system/app-shop-.service.d/shop.conf"}},
		{Unit{Name: "app-shop-nginx.service"}, []string{"/etc/systemd/system/app-shop-nginx.service.d/override.conf"}},
		{Unit{Name: "app.service"}, nil},
	} {
		onDisk, err := d.dropIns(c.unit)
		if err != nil {
			t.Fatal(err)
		}
		for where, found := range map[string][]string{"systemd reports": all, "the disk has": onDisk} {
			found = unowned(found, c.unit, wanted)
			slices.Sort(found)
			if !slices.Equal(found, c.want) {
				t.Errorf("%+v: of what %s %q is foreign, want %q", c.unit, where, found, c.want)
			}
		}
	}
}

// What also amends units of others says so: whichever component is applied first removes it.
func TestDropInsOfSeveralUnitsAreDescribed(t *testing.T) {
	api := Unit{Name: "app-shop-api@blue.service", Prefix: "app-"}
	for dir, want := range map[string]string{
		"app-shop-api@blue.service.d": "",
		"app-shop-api@.service.d":     "",
		"app-shop-.service.d":         ", which changes all units whose names begin with app-shop- (an apply removes it for all of them)",
		"app-shop-@blue.service.d":    ", which changes all units whose names begin with app-shop- (an apply removes it for all of them)",
	} {
		dropIn := "/etc/systemd/system/" + dir + "/x.conf"
		if got := api.describe(dropIn); got != dropIn+want {
			t.Errorf("%s: %s", dir, got)
		}
	}
}
