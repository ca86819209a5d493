#!/usr/bin/env bash
# Tests leftovers.sh: leaves one thing of each sort that a demo makes, and fails if
# it is not named. It runs as root, in mount and network namespaces of its own; what
# it makes outside of them is a cgroup with a process, which it removes.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" != inside ]; then
    exec unshare --mount --net --propagation private tools/leftovers_test.sh inside
fi

lab=left$$
scratch=$(mktemp -d)
export FOOBAR_LAB_NAME=$lab FOOBAR_LAB_STATE=$scratch/state
stack=$scratch/stack
# shellcheck source=tools/stack.sh
source tools/stack.sh
# shellcheck source=tools/leftovers.sh
source tools/leftovers.sh

# The links of this network namespace, and a directory of namespaces, mounts and
# runtime files that is nobody else's.
mkdir -p "$stack" "$scratch"/{sys,foobar-lab/"$lab"/mount}
mount -t sysfs sysfs "$scratch/sys"
mount --bind "$scratch/sys/class/net" /sys/class/net
mount -t tmpfs tmpfs /run
mkdir /run/netns
group=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
if [ -z "$group" ]; then
    group=$scratch/cgroup
    mkdir "$group"
    mount -t cgroup2 cgroup2 "$group"
fi
cgroup=$group/foobar-lab/$lab

failures=0
process=''

# removed undoes what the cases below make.
removed() {
    if [ -n "$process" ]; then
        kill "$process"
        wait "$process" 2>/dev/null || true
    fi
    process=''
    if [ -d "$cgroup" ]; then rmdir "$cgroup" && rmdir --ignore-fail-on-non-empty "${cgroup%/*}"; fi
}
trap 'removed; umount -l "$scratch"/{sys,cgroup} 2>/dev/null || true; rm -rf --one-file-system "$scratch"' EXIT

# named SORT MAKE UNDO fails unless what MAKE leaves is named as of that sort, and
# nothing is once UNDO has removed it.
named() {
    local before said
    before=$(host | sed '/^file /d')
    eval "$2"
    if said=$(leftovers "$before" 2>&1) || ! grep -q "^$1 " <<<"$said"; then
        echo "a $1 was left by: $2; the check said: $said" >&2
        failures=$((failures + 1))
    fi
    eval "$3"
    if ! said=$(leftovers "$before" 2>&1); then
        echo "nothing is left after: $3; the check said: $said" >&2
        failures=$((failures + 1))
    fi
}

named mount "mount -t tmpfs tmpfs $scratch/foobar-lab/$lab/mount" "umount $scratch/foobar-lab/$lab/mount"
for link in fb0 ve-web1 vb-web1 br-foobar; do
    named link "ip link add $link type veth peer name other" "ip link delete $link"
done
named namespace "touch /run/netns/$lab-mgmt" "rm /run/netns/$lab-mgmt"
named table "nft add table inet foobar_db_x" "nft delete table inet foobar_db_x"
named cgroup "mkdir -p $cgroup" removed
# shellcheck disable=SC2016 # evaluated by named
named process 'mkdir -p "$cgroup"; sleep 600 & process=$!; echo $process >"$cgroup/cgroup.procs"' removed
named file "mkdir -p /run/foobar-lab/$lab" "rm -r /run/foobar-lab"
named file "mkdir -p $state_dir" "rm -r $state_dir"
for file in .terraform .terraform.lock.hcl .terraform.tfstate.lock.info terraform.tfstate terraform.tfstate.backup terraform.tfstate.1.backup crash.log; do
    named file "touch $stack/$file" "rm $stack/$file"
done

# What was there before is not the demo's.
ip link add fb0 type veth peer name other
if ! said=$(leftovers "$(host)" 2>&1); then
    echo "of what was there before, the check said: $said" >&2
    failures=$((failures + 1))
fi
# A check that cannot be made is no clean host.
if (host() { return 1; } && leftovers '') 2>/dev/null; then
    echo "a check that failed found nothing" >&2
    failures=$((failures + 1))
fi
[ "$failures" = 0 ]
