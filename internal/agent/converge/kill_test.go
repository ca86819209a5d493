package converge_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
)

// The process that is killed is this test's own binary, which gets its task from its
// environment.
const (
	rootVariable = "FOOBAR_TEST_ROOT"
	stepVariable = "FOOBAR_TEST_STEP"
	sumVariable  = "FOOBAR_TEST_SUM"
)

// victim carries out a transaction and kills its own process before a step.
func victim(t *testing.T) {
	t.Helper()
	step, err := strconv.Atoi(os.Getenv(stepVariable))
	if err != nil {
		t.Fatal(err)
	}
	m := open(t, os.Getenv(rootVariable))
	m.engine.Hook = func(string) error {
		if step--; step < 0 {
			return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGKILL), errors.New("not killed"))
		}
		return nil
	}
	if err := m.engine.Apply(t.Context(), m.transaction(m.recorded(t), killWanted(os.Getenv(sumVariable)))); err != nil {
		t.Fatal(err)
	}
}

func killWanted(sum string) *converge.State {
	wanted, tree := pair("two"), release(sum)
	wanted.Dirs = append(wanted.Dirs, tree.Dirs...)
	wanted.Trees, wanted.Links = tree.Trees, tree.Links
	return wanted
}

func TestKillBetweenAnyTwoStepsRecovers(t *testing.T) {
	if os.Getenv(rootVariable) != "" {
		victim(t)
		return
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := open(t, tempDir(t))
	sum := m.upload(t, map[string]string{"app": "two"})
	from := m.apply(t, nil, pair("one"))
	before := m.snapshot(t)
	reference := m.copyOf(t)
	reference.apply(t, from, killWanted(sum))
	after := reference.snapshot(t)

	undone, done := 0, 0
	for step := 0; ; step++ {
		victim := m.copyOf(t)
		cmd := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), rootVariable+"="+victim.root, stepVariable+"="+fmt.Sprint(step), sumVariable+"="+sum)
		output, err := cmd.CombinedOutput()
		if err == nil {
			same(t, "when nothing was killed", after, victim.snapshot(t))
			break
		}
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %v: %s", step, err, output)
		}
		follow := func(converge.Interrupted) converge.Follow { return victim.follow(from, nil) }
		ended, err := victim.engine.Recover(t.Context(), follow)
		if err = errors.Join(err, victim.engine.Complete(t.Context(), edge(), follow)); err != nil {
			t.Fatal(err)
		}
		want := before
		for _, i := range ended {
			if i.Err != nil {
				t.Errorf("step %d: %v", step, i.Err)
			}
			if i.Committed {
				want = after
				done++
			} else {
				undone++
			}
		}
		same(t, fmt.Sprintf("after a kill before step %d", step), want, victim.snapshot(t))
	}
	if undone < 10 || done != 2 {
		t.Errorf("%d kills were undone and %d finished; most must be undone, and those after the commit finished", undone, done)
	}
}
