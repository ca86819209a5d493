package systemd

import (
	"context"
	"math"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

func TestStatusOfProperties(t *testing.T) {
	got := status(map[string]any{
		"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled",
		"MainPID": uint32(42), "NRestarts": uint32(3), "Result": "success", "DropInPaths": []string{"/etc/x.conf"},
		"Id": "x.service", "TimeoutStopUSec": uint64(90_000_000), "InvocationID": []byte{0xab, 0x01}, "ExecMainStartTimestamp": uint64(1_700_000_000_000_001),
		"ExecMainCode": int32(1), "ExecMainStatus": int32(203),
	})
	want := Status{
		LoadState: "loaded", ActiveState: "active", SubState: "running", UnitFileState: "enabled",
		MainPID: 42, NRestarts: 3, InvocationID: "ab01", Result: "success", DropIns: []string{"/etc/x.conf"}, StopTimeout: 90 * time.Second, MainStarted: time.UnixMicro(1_700_000_000_000_001), ExitStatus: 203,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the status is %+v, want %+v", got, want)
	}
	if got := status(map[string]any{"LoadState": "not-found"}); got.MainPID != 0 || got.Active() || got.StopTimeout != 0 || !got.MainStarted.IsZero() {
		t.Errorf("the status of nothing is %+v", got)
	}
	if got := status(map[string]any{"ExecMainCode": int32(2), "ExecMainStatus": int32(9)}); got.ExitStatus != 0 {
		t.Errorf("a signal is an exit with %d", got.ExitStatus)
	}
	if got := status(map[string]any{"TimeoutStopUSec": uint64(math.MaxUint64)}); got.StopTimeout != MaxStopTimeout {
		t.Errorf("for ever is %s", got.StopTimeout)
	}
}

func TestActive(t *testing.T) {
	for state, want := range map[string]bool{"active": true, "reloading": true, "activating": false, "deactivating": false, "failed": false, "inactive": false} {
		if got := (Status{ActiveState: state}).Active(); got != want {
			t.Errorf("%s counts as active: %t", state, got)
		}
	}
}

func TestJobErrorTellsUnitJobAndResult(t *testing.T) {
	for _, test := range []struct {
		err  JobError
		want string
	}{
		{JobError{Verb: "start", Unit: "a.service", Job: "failed", Result: "exit-code"}, `start a.service: the job ended as "failed", the unit's result is "exit-code"`},
		{JobError{Verb: "reload", Unit: "a.service", Job: "timeout", Result: "success"}, `reload a.service: the job ended as "timeout"`},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("the error reads %s, want %s", got, test.want)
		}
	}
}

func TestUnknownUnits(t *testing.T) {
	if err := unlessUnknown(dbus.Error{Name: "org.freedesktop.systemd1.NoSuchUnit"}); err != nil {
		t.Errorf("an unknown unit is %v", err)
	}
	if unlessUnknown(dbus.Error{Name: "org.freedesktop.DBus.Error.AccessDenied"}) == nil {
		t.Error("a refusal counts as an unknown unit")
	}
}

func TestOnlyALostConnectionIsTriedAgain(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		err  error
		want bool
	}{
		"closed":             {t.Context(), dbus.ErrClosed, true},
		"broken pipe":        {t.Context(), syscall.EPIPE, true},
		"lost while waiting": {t.Context(), errLost, true},
		"an answer":          {t.Context(), dbus.Error{Name: "org.freedesktop.systemd1.NoSuchUnit"}, false},
		"a failed job":       {t.Context(), &JobError{Verb: "start"}, false},
		"the caller's end":   {over, context.Canceled, false},
	} {
		if got := isLost(test.ctx, test.err); got != test.want {
			t.Errorf("%s counts as lost: %t", name, got)
		}
	}
}
