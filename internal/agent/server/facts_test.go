package server

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// machineFiles are those of a machine whose kernel was booted at 1,000,000,000
// and whose PID 1 was started 50 seconds later.
func machineFiles() fstest.MapFS {
	return fstest.MapFS{
		"proc/sys/kernel/random/boot_id": {Data: []byte("5c1d\n")},
		"proc/stat":                      {Data: []byte("cpu 1 2\nbtime 1000000000\nprocesses 3\n")},
		"proc/1/stat":                    {Data: []byte("1 (a) b c) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5099 100 200 18446744073709551615")},
	}
}

func TestReadFacts(t *testing.T) {
	tests := map[string]struct {
		edit func(fstest.MapFS)
		want Facts
		err  string
	}{
		"no image name": {func(fstest.MapFS) {}, Facts{}, ""},
		"a manifest": {func(f fstest.MapFS) {
			f["usr/lib/foobar/image.json"] = &fstest.MapFile{Data: []byte(`{"version":"2026.6.0","packages":{}}`)}
		}, Facts{ImageID: "2026.6.0"}, ""},
		"a broken manifest": {func(f fstest.MapFS) {
			f["usr/lib/foobar/image.json"] = &fstest.MapFile{Data: []byte(`{`)}
		}, Facts{ImageDamage: errors.New("")}, ""},
		"no boot id":      {func(f fstest.MapFS) { delete(f, "proc/sys/kernel/random/boot_id") }, Facts{}, "read the boot's id"},
		"no boot time":    {func(f fstest.MapFS) { f["proc/stat"].Data = []byte("cpu 1\n") }, Facts{}, "has no boot time"},
		"a cut off start": {func(f fstest.MapFS) { f["proc/1/stat"].Data = []byte("1 (x) S 0") }, Facts{}, "is cut off"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			files := machineFiles()
			test.edit(files)
			got, err := ReadFacts(files, "1.2.3")
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want one with %q", err, test.err)
				}
				return
			}
			want := test.want
			want.Version, want.BootID, want.BootedAt = "1.2.3", "5c1d", time.Unix(1000000050, 0).UTC()
			if (got.ImageDamage != nil) != (want.ImageDamage != nil) || len(got.Conditions()) > 0 != (want.ImageDamage != nil) {
				t.Errorf("the damage is %v, the conditions %v", got.ImageDamage, got.Conditions())
			}
			got.ImageDamage, want.ImageDamage = nil, nil
			if err != nil || got != want {
				t.Errorf("facts %+v, %v; want %+v", got, err, want)
			}
		})
	}
}
