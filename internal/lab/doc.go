// Package lab boots the image's root filesystem as systemd-nspawn machines in
// networks without a way out, for the demo and the acceptance tests.
//
// Three ideas carry it:
//
//   - Everything that runs belongs to one cgroup, so that "who is this" and
//     "end all of it at once" are questions to the kernel and not to pid files:
//     a power loss is cgroup.kill, a freeze is cgroup.freeze, and what a killed
//     run left behind is found and ended in the same way.
//   - Nothing is mounted or named in the host's namespaces. A network or a mount
//     lives as long as the processes that use it, and the kernel takes it down
//     with the last of them.
//   - A machine is an overlay: the image below, one directory of its own above.
//     A fresh disk is a new directory.
//
// Layout of the cgroup (below foobar-lab/NAME):
//
//	build                     while an image is made
//	sites/{fabric,client,mgmt} one waiting process each, which holds a network namespace
//	machines/M/supervisor     starts nspawn, and again after a reboot or a power loss
//	machines/M/boot-N         the machine itself, from its Nth start on
package lab
