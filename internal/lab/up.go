package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// Up brings the lab to these machines, beside those that it has already: the
// image is made if need be, the networks, the machines' disks, and every machine
// of the lab is switched on and given the present agent. It returns when all of
// them are ready. www is what the public name resolves to, if it is valid.
func (l *Lab) Up(ctx context.Context, machines []Machine, www netip.Addr) error {
	if err := l.checkFit(machines); err != nil {
		return err
	}
	img, err := l.Image(ctx)
	if err != nil {
		return err
	}
	if err := l.ensureNetwork(ctx); err != nil {
		return err
	}
	for _, m := range machines {
		if err := l.ensureMachine(m, img); err != nil {
			return err
		}
	}
	if www.IsValid() {
		if err := saveJSON(l.zonePath(), zone{WWW: www}); err != nil {
			return err
		}
	}
	if err := l.publishNames(); err != nil {
		return err
	}
	return l.startAll(ctx, img)
}

// startAll switches every machine on, replaces agents that are not the present
// one, and waits.
func (l *Lab) startAll(ctx context.Context, img image) error {
	records, err := l.records()
	if err != nil {
		return err
	}
	names := make([]string, len(records))
	for i, r := range records {
		names[i] = r.Name
	}
	if err := l.Start(ctx, names...); err != nil {
		return err
	}
	return l.each(ctx, names, func(ctx context.Context, name string) error {
		return l.replaceAgent(ctx, name, img.agent)
	})
}

// checkFit reports machines that the lab already has with other addresses, and
// addresses that it has already given to others.
func (l *Lab) checkFit(machines []Machine) error {
	records, err := l.records()
	if err != nil {
		return err
	}
	all := append([]Machine(nil), machines...)
	for _, r := range records {
		asked := false
		for _, m := range machines {
			if m.Name != r.Name {
				continue
			}
			asked = true
			if !m.sameAddresses(r.Machine) {
				return fmt.Errorf("machine %s is there already as %s: give it the same addresses, or end the lab with  lab down", r.Name, r.Machine)
			}
		}
		if !asked {
			all = append(all, r.Machine)
		}
	}
	if len(all) == 0 {
		return errors.New("the lab has no machines yet: name some, such as  lab up lb1=203.0.113.10,10.0.0.10 web1=10.0.0.1 web2=10.0.0.2")
	}
	return checkTogether(all)
}

// ensureMachine makes the machine's first disk unless it has one.
func (l *Lab) ensureMachine(m Machine, img image) error {
	var r record
	found, err := loadJSON(l.recordPath(m.Name), &r)
	if err != nil || found {
		return err
	}
	return l.newDisk(record{Machine: m, Incarnation: 1, Disk: 1}, img)
}

// newDisk makes an empty disk over the image, with what a cloud would put on it,
// and records the machine with it. The record comes last: until then, and after
// a crash, the machine has the disk it had.
func (l *Lab) newDisk(r record, img image) error {
	r.Base, r.Layer, r.Agent = img.base, img.layer, img.agent
	disk := l.disk(r)
	if err := os.RemoveAll(disk); err != nil {
		return fmt.Errorf("clear the disk of machine %s: %w", r.Name, err)
	}
	files := map[string]string{
		"etc/hostname": r.Name + "\n",
		"etc/hosts":    machineHosts(r.Machine),
	}
	for i := range r.Addresses {
		files[fmt.Sprintf("etc/systemd/network/10-%s.network", guestLink(i))] = networkUnit(r.Machine, i)
	}
	for path, text := range files {
		if err := l.writeFile(filepath.Join(disk, "upper", path), text); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(disk, "work"), 0o700); err != nil {
		return fmt.Errorf("make the disk of machine %s: %w", r.Name, err)
	}
	if err := l.writeBootstrap(r); err != nil {
		return err
	}
	return l.saveRecord(r)
}

// Reset gives machines fresh disks, as if the VM had been made anew from the
// present image, and waits until they are ready. Unless sameIncarnation, the
// incarnation is raised, as whoever replaces a VM would.
func (l *Lab) Reset(ctx context.Context, sameIncarnation bool, names ...string) error {
	img, err := l.Image(ctx)
	if err != nil {
		return err
	}
	return l.each(ctx, names, func(ctx context.Context, name string) error {
		old, err := l.loadRecord(name)
		if err != nil {
			return err
		}
		if err := l.cutPower(ctx, name); err != nil {
			return err
		}
		fresh := record{Machine: old.Machine, Incarnation: old.Incarnation, Disk: old.Disk + 1}
		if !sameIncarnation {
			fresh.Incarnation++
		}
		if err := l.newDisk(fresh, img); err != nil {
			return err
		}
		if err := os.RemoveAll(l.disk(old)); err != nil {
			return fmt.Errorf("remove the old disk of machine %s: %w", name, err)
		}
		return l.Start(ctx, name)
	})
}

// agentPath is where the agent is in a machine.
const agentPath = "/usr/lib/foobar/foobar-agent"

// replaceAgent puts the present agent into a running machine that has another
// one, as an update would.
func (l *Lab) replaceAgent(ctx context.Context, name, sum string) error {
	r, err := l.loadRecord(name)
	if err != nil || r.Agent == sum {
		return err
	}
	if r.Agent == "" || sum == "" {
		l.log.Warn("machine keeps the image it was made from, with or without agent: reset it to change that", "machine", name)
		return nil
	}
	l.log.Info("replacing the agent", "machine", name)
	run, err := l.mustAnswer(name)
	if err != nil {
		return err
	}
	if err := l.copyIn(ctx, run, l.Agent, agentPath); err != nil {
		return fmt.Errorf("replace the agent of machine %s: %w", name, err)
	}
	if err := l.inMachine(ctx, name, "systemctl", "restart", "foobar-agent.service"); err != nil {
		return err
	}
	if err := l.waitAgent(ctx, name, run); err != nil {
		return err
	}
	r.Agent = sum
	return l.saveRecord(r)
}
