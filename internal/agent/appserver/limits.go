package appserver

import (
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// writeLimits writes what an app may take of the machine, in the section Service.
//
// What it must not take is the database's: where CPU or disk are short, the app gets
// half of the usual share (100) and a database (package dbserver) four times of it;
// where memory is, the kernel kills the app first. It kills the whole app, which then
// starts from a known state, and not one of its workers.
func writeLimits(t *converge.Text, l api.AppLimits) {
	memory := l.Memory
	if size, err := api.ParseSize(memory); err == nil { // systemd knows no small suffix
		memory = api.FormatSize(size)
	}
	t.From("/limits/memory", "MemoryMax=%s", memory)
	if l.CPU != 0 {
		t.From("/limits/cpu", "CPUQuota=%d%%", l.CPU)
	}
	t.Own("CPUWeight=50", "IOWeight=50")
	t.From("/limits/tasks", "TasksMax=%d", l.Tasks)
	// The same bound where the kernel counts no tasks of a unit, as in a container.
	// PrivateUsers= has it count each slot by itself.
	t.From("/limits/tasks", "LimitNPROC=%d", l.Tasks)
	t.From("/limits/open_files", "LimitNOFILE=%d", l.OpenFiles)
	t.Own("OOMScoreAdjust=500", "OOMPolicy=kill")
}

// privateMemory gives each slot a /dev/shm, message queues and System V memory of its
// own, which count as its memory and end with it. PrivateTmp= covers none of them, and
// RemoveIPC= would take those of the other slot, which runs as the same user.
func privateMemory() []string {
	return []string{"PrivateIPC=true", fmt.Sprintf("TemporaryFileSystem=/dev/shm:mode=1777,size=%s", sharedMemory)}
}

// sharedMemory is the most that /dev/shm of a slot may hold, of the machine's memory.
const sharedMemory = "10%"
