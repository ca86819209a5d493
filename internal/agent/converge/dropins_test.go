package converge

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What amends the units of one component is a drift of it, whether systemd has loaded
// them or not; what is for units of others as well, and what is ours, is none.
func TestForeignDropIns(t *testing.T) {
	const own = "/etc/systemd/system/app-shop@.service.d/ours.conf"
	all := []string{
		own,
		"/etc/systemd/system.control/app-shop@.service.d/50-MemoryMax.conf",
		"/etc/systemd/system.control/app-shop@blue.service.d/50-CPUWeight.conf",
		"/etc/systemd/system/app-.service.d/apps.conf",
		"/etc/systemd/system/app-shop-.service.d/shop.conf",
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
	wanted := State{Files: []File{{Path: own}}}
	for _, c := range []struct {
		unit Unit
		want []string
	}{
		{Unit{Name: "app-shop@blue.service", Prefix: "app-shop-"}, []string{
			"/etc/systemd/system.control/app-shop@.service.d/50-MemoryMax.conf",
			"/etc/systemd/system.control/app-shop@blue.service.d/50-CPUWeight.conf",
			"/etc/systemd/system/app-shop@blue.service.d/override.conf",
			"/run/systemd/system.control/app-shop@blue.service.d/50-IOWeight.conf",
			"/run/systemd/system/app-shop@.service.d/limit.conf",
		}},
		{Unit{Name: "app-shop-nginx.service", Prefix: "app-shop-"}, []string{
			"/etc/systemd/system/app-shop-.service.d/shop.conf", "/etc/systemd/system/app-shop-nginx.service.d/override.conf",
		}},
		{Unit{Name: "app-shop-nginx.service"}, []string{"/etc/systemd/system/app-shop-nginx.service.d/override.conf"}},
		{Unit{Name: "app.service"}, nil},
	} {
		onDisk, err := d.dropIns(c.unit)
		if err != nil {
			t.Fatal(err)
		}
		for where, found := range map[string][]string{"systemd tells of": all, "the disk has": onDisk} {
			found = unowned(found, c.unit, wanted)
			slices.Sort(found)
			if !slices.Equal(found, c.want) {
				t.Errorf("%+v: of what %s %q is foreign, want %q", c.unit, where, found, c.want)
			}
		}
	}
}
