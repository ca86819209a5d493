# shellcheck shell=bash
# Sourced by demo.sh, after stack.sh: what the demo leaves on the host. The variable
# stack is the directory of the demo's stack.
# shellcheck disable=SC2154 # that one

# leftovers BEFORE fails, and names them, if there are things on the host that were
# not there before; BEFORE is what host said then.
leftovers() {
    local after left
    after=$(host) || return
    left=$(comm -13 <(sort <<<"$1") <(sort <<<"$after"))
    if [ -n "$left" ]; then
        printf 'this is left of the demo:\n%s\n' "$left" >&2
        return 1
    fi
}

# host lists, a line for each, what the demo makes on the host and has to leave
# as it was: mounts, links, namespaces, tables, cgroups, processes, files.
host() {
    local lab=${FOOBAR_LAB_NAME:-demo} group
    awk -v lab="/$lab/" '/foobar-lab/ && index($0, lab) { print "mount " $5 }' /proc/self/mountinfo
    for link in /sys/class/net/*; do echo "link ${link##*/}"; done | grep -E ' (fb|ve-|vb-|br-foobar|foobar)' || true
    find /run/netns -mindepth 1 -name "*$lab*" -printf 'namespace %p\n' 2>/dev/null || true
    if command -v nft >/dev/null; then nft list tables 2>/dev/null | grep foobar || true; fi
    group=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
    find "$group/foobar-lab/$lab" -type d -printf 'cgroup %p\n' 2>/dev/null || true
    grep -l "foobar-lab/$lab" /proc/[0-9]*/cgroup 2>/dev/null | while read -r at; do
        at=${at%/cgroup}
        echo "process ${at#/proc/} $(tr -d '\0' <"$at/comm" 2>/dev/null) $(awk '/^State/ { print $2 }' "$at/status" 2>/dev/null)"
    done || true
    for path in "/run/foobar-lab/$lab" "${state_dir:?}" "$stack"/{.terraform,.terraform.lock.hcl,.terraform.tfstate.lock.info,terraform.tfstate*,crash.log}; do
        [ ! -e "$path" ] || echo "file $path"
    done
}
