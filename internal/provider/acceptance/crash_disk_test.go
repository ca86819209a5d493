//go:build lab

package acceptance

// fullDisks fills the file systems of what the agent, a database and the log
// keep, one after the other: status and plan say which, and nothing changes.
func (s *stack) fullDisks() {
	s.t.Helper()
	for _, fault := range []struct{ dir, before, after string }{
		{"/var/lib/foobar", "systemctl stop foobar-agent", "systemctl start foobar-agent"},
		{"/var/lib/foobar-db/full", "true", "true"},
		{"/var/log/journal", "true", "true"},
	} {
		s.lab.Exec("web2", "sh", "-ec", `dir=$0; mkdir -p "$dir"; `+fault.before+`
			size=$(du -sm "$dir" | cut -f1); mkdir /root/away; cp -a "$dir/." /root/away
			mount -t tmpfs -o mode=0700,size=$((size + 8))m tmpfs "$dir"; cp -a /root/away/. "$dir"; rm -r /root/away
			`+fault.after+`
			dd if=/dev/zero of="$dir/filled" bs=64k status=none || true`, fault.dir)
		s.lab.Exec("web2", "timeout", "30", "sh", "-c", "until foobar-agent status | grep -q 'DiskFull.*"+fault.dir+"'; do sleep 0.1; done")
		p := s.plan()
		p.empty()
		p.warns("DiskFull on machine web2", "To make room")
		s.lab.Exec("web2", "sh", "-ec", `rm "$0/filled"; `+fault.before+`; umount -l "$0"; `+fault.after, fault.dir)
		s.lab.Exec("web2", "timeout", "30", "sh", "-c", "until foobar-agent status >/run/shown && ! grep -q DiskFull /run/shown; do sleep 0.1; done")
	}
}

// fullRuntime fills what the machine keeps in memory, as any app can: status says
// so and names the directory, and no larger disk is asked for.
func (s *stack) fullRuntime() {
	s.t.Helper()
	s.lab.Exec("web2", "sh", "-ec", `mkdir /run/foobar-filled; mount -o remount,size=$(($(du -sm /run | cut -f1) + 8))m /run
		dd if=/dev/zero of=/run/foobar-filled/x bs=64k status=none || true`)
	s.lab.Exec("web2", "timeout", "30", "sh", "-c", "until foobar-agent status | grep 'DiskFull.*/run (.*/run/foobar-filled, with' | grep -qv 'larger disk'; do sleep 0.1; done")
	s.lab.Exec("web2", "sh", "-ec", "rm -r /run/foobar-filled; mount -o remount,size=20% /run")
	s.lab.Exec("web2", "timeout", "30", "sh", "-c", "until foobar-agent status >/run/shown && ! grep -q DiskFull /run/shown; do sleep 0.1; done")
}
