#!/usr/bin/env bash
# The demo: three booted machines, one `terraform apply`, ten requests, a note;
# then a release under load, and one that is bad on purpose.
#   demo.sh up STACK NAME=ADDR[,ADDR]…
#   demo.sh down STACK
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/stack.sh
source tools/stack.sh
# shellcheck source=tools/leftovers.sh
source tools/leftovers.sh
work=$state_dir/load
# shellcheck source=tools/load/clients.sh
source tools/load/clients.sh

say() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }

usage() { sed -n '4,5s/^# */usage: /p' tools/demo.sh >&2; exit 2; }

up() {
    # A state of machines that are gone would have Terraform look for them.
    local machines
    machines=$(bin/lab status)
    if grep -q 'has no machines' <<<"$machines"; then
        if grep -qs '^ *incarnations *=' "$stack"/*.tfvars; then
            echo "$stack/*.tfvars sets incarnations, those of an earlier demo. This one makes new machines, of incarnation 1: remove the line, then run it again." >&2
            return 1
        fi
        forget
        mkdir -p "$state_dir"
        host | sed "/^file /d" >"$state_dir/host-before"
    fi

    say "boot the machines (the first time builds their image, some minutes)"
    bin/lab up "$@"

    say "terraform init and apply, in the lab's management network"
    mirror_provider "$(sed -n 's/^VERSION *?= *//p' GNUmakefile)" >/dev/null
    # The provider was just built, so the checksum of an earlier run may differ.
    rm -rf "$stack/.terraform" "$stack/.terraform.lock.hcl"
    tf "$stack" init -input=false >/dev/null
    release notes

    say "ten requests from outside to http://www.foobar.test/"
    in_service
    local answers
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        answers+=$(bin/lab run -- curl -sS --fail --max-time 5 http://www.foobar.test/)$'\n'
    done
    printf '%s' "$answers"
    alternate <<<"$answers"

    say "a note, written through the load balancer and read back from the replica"
    note "written at $(date +%T)"

    say "the replication"
    tf "$stack" apply -refresh-only -input=false -auto-approve "${variables[@]}" >/dev/null
    replication

    say "a second plan"
    nothing_to_do

    say "release 2 on both servers at once, while clients read and write"
    start_load
    release notes-2
    stop_load
    serves 2

    say "a release that is bad on purpose, under the same load: it has to fail"
    start_load
    bad_release notes-bad "No module named 'store'"
    stop_load
    serves 2

    say "a plan again, with release 2"
    given notes-2
    nothing_to_do

    say "it stands; look around"
    cat <<TEXT
  bin/lab status                                  the machines
  bin/lab exec web1 -- foobar-agent status        what an agent says, on its machine
  bin/lab run -- curl -s http://www.foobar.test/  a request from outside; /notes has the notes
  bin/lab exec lb1 -- sh                          a shell on a machine: break something, then
  make demo                                       sets it right again
  make demo-down                                  leaves the host as it was
TEXT
}

# given RELEASE makes bin/RELEASE.tar.gz what Terraform is to release.
given() { variables=(-var "release=$PWD/bin/$1.tar.gz"); }

# release RELEASE applies the stack with it.
release() {
    given "$1"
    tf "$stack" apply -input=false -auto-approve "${variables[@]}"
}

# nothing_to_do fails if a plan has anything to do.
nothing_to_do() { tf "$stack" plan -input=false -detailed-exitcode "${variables[@]}"; }

# bad_release RELEASE LINE applies one that cannot start; fails unless the apply
# does, with that line of the app's log.
bad_release() {
    local said=$work/apply
    if release "$1" 2>&1 | tee "$said"; then
        echo "the apply of a bad release did not fail" >&2
        return 1
    fi
    grep -qF "$2" "$said" && return
    echo "the apply failed, but not with the app's log line: $2" >&2
    return 1
}

# start_load has clients send GETs and POSTs, some 100 a second, until stop_load.
start_load() {
    in_service
    load_name=load-$(date +%s)
    rm -rf "$work" && mkdir -p "$work"
    start_clients 4 http://www.foobar.test/ http://www.foobar.test/notes 100 "$load_name"
    sleep 2 # of load before and after
}

# stop_load ends the load, and fails if a request of it failed, or if a note that was
# acknowledged is lost or was kept twice.
stop_load() {
    local failed sent posts counts kept names
    sleep 2
    stop_clients
    print_clients
    failures "${clients[@]}"
    posts=$(figures posts | cut -d' ' -f1)
    counts=$(bin/lab exec web1 -- mariadb --socket /run/foobar-db-notes/mariadb.sock --skip-column-names notes \
        --execute "SELECT COUNT(*), COUNT(DISTINCT text) FROM notes WHERE text LIKE '$load_name-%'")
    read -r kept names <<<"$counts"
    printf '%d requests, %d failed; %d notes acknowledged, %d kept, %d of them twice\n' "$sent" "$failed" "$posts" "$names" $((kept - names))
    # A note may be kept whose answer was on its way when the clients ended.
    if ((sent < 100 || failed > 0 || names < posts || names > posts + 4 || kept > names)); then
        echo "the release was not what it should be: no request failed, no note is lost or there twice" >&2
        return 1
    fi
}

# serves VERSION fails unless both servers answer with that release.
serves() {
    local answers
    answers=$(for _ in 1 2 3 4; do bin/lab run -- curl -sS --fail --max-time 5 http://www.foobar.test/ || exit; echo; done)
    sed -n 's/.*"version": *"\([^"]*\)".*"server": *"\([^"]*\)".*/release \1 answers on \2/p' <<<"$answers" | sort -u | tee "$work/serves"
    [ "$(<"$work/serves")" = "$(printf 'release %s answers on %s\n' "$1" web1 "$1" web2)" ]
}

# in_service waits until no server is down for the load balancer any more: one
# whose app was just repaired is taken back after two good checks.
in_service() {
    local status
    for _ in {1..60}; do
        status=$(bin/lab exec lb1 -- foobar-agent status)
        grep ServerDown <<<"$status" || return 0
        sleep 0.5
    done
    echo "the load balancer did not take it back within 30 s" >&2
    return 1
}

# notes ARG… asks for /notes from outside; the last line says which machine's
# database answered. A database that takes no requests yet is asked again.
notes() {
    bin/lab run -- curl -sS --fail --max-time 15 --retry 30 --retry-delay 1 \
        -w '\n%header{x-notes-kept-by}' "$@" http://www.foobar.test/notes
}

# note TEXT writes a note, and fails unless another machine than the one that
# keeps it soon has it to be read.
note() {
    local text=$1 answer kept read_from found
    answer=$(notes --json "{\"text\": \"$text\"}")
    kept=${answer##*$'\n'}
    printf 'POST /notes, kept by the database on %s: %s\n' "$kept" "${answer%$'\n'*}"
    for _ in {1..50}; do
        answer=$(notes)
        read_from=${answer##*$'\n'}
        if found=$(grep -o "{[^{}]*\"$text\"}" <<<"$answer"); then
            printf 'GET /notes, read from the database on %s: %s\n' "$read_from" "$found"
            [ "$read_from" != "$kept" ] || { echo "it was read where it was written" >&2; return 1; }
            return
        fi
        sleep 0.2
    done
    echo "the note did not reach the database on $read_from" >&2
    return 1
}

# replication prints what the data source says of the members.
replication() {
    # shellcheck disable=SC2016 # these are Terraform's
    local lag='m.lag_milliseconds == null ? "" : ", at most ${m.lag_milliseconds} ms behind"'
    # shellcheck disable=SC2016
    local line='"${name}: ${m.role}, ${m.state}, epoch ${m.epoch}, at ${m.position}${'$lag'}"'
    tf "$stack" console "${variables[@]}" <<<"join(\"\\n\", [for name, m in data.foobar_db_replication.notes.members : $line])" |
        grep -v EOT
}

# alternate fails unless the ten answers come from two servers in turn.
alternate() {
    sed -n 's/.*"server": *"\([^"]*\)".*/\1/p' | awk '
        NR > 1 && $0 == last { print "two answers in a row from " $0 > "/dev/stderr"; bad = 1 }
        { last = $0; seen[$0] = 1 }
        END { if (NR != 10 || length(seen) != 2) { print NR " answers from " length(seen) " servers" > "/dev/stderr"; bad = 1 }; exit bad }'
}

# down ends the machines, forgets them, and fails if anything is left of them.
down() {
    local before
    before=$(cat "$state_dir/host-before" 2>/dev/null || true)
    end_lab
    forget
    leftovers "$before"
}

# forget removes what Terraform knows of the machines.
forget() {
    rm -rf "$stack"/{.terraform,.terraform.lock.hcl,.terraform.tfstate.lock.info,terraform.tfstate,terraform.tfstate.backup,crash.log}
    rm -f "$stack"/terraform.tfstate.*.backup
}

[ $# -ge 2 ] || usage
verb=$1 stack=$2
shift 2
case $verb in
up)
    trap stop_clients EXIT
    tool wrk
    up "$@"
    ;;
down) down ;;
*) usage ;;
esac
