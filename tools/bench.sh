#!/usr/bin/env bash
# The budgets, measured in one run on a lab of their own, side by side with what
# one would have without foobar:
#   bench.sh STACK NAME=ADDR[,ADDR]…
# Nothing is asserted but that it works, and that no request fails while a load
# balancer changes or a release is made. These settings help while working on a part:
#   ONLY=regexp   only the parts that match: boot stack agent throughput changes release hundred
#   KEEP=1        leave the lab up         FOOBAR_LAB_NAME=name   another lab than "bench"
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { sed -n '4s/^# */usage: /p' tools/bench.sh >&2; exit 2; }
example=$1
shift

export FOOBAR_LAB_NAME=${FOOBAR_LAB_NAME:-bench} TF_CLI_ARGS=-no-color
machines=(lb1 web1 web2)
work=$(mktemp -d)
touch "$work/table"
# shellcheck source=tools/stack.sh
source tools/stack.sh
# shellcheck source=tools/bench/measure.sh
source tools/bench/measure.sh
# shellcheck source=tools/load/clients.sh
source tools/load/clients.sh
# shellcheck source=tools/bench/load.sh
source tools/bench/load.sh
# shellcheck source=tools/bench/release.sh
source tools/bench/release.sh
state_dir=$work # of tools/stack.sh: a provider mirror of this run's own

# report prints what was measured, and where.
report() {
    printf '\n'
    print_table
    printf '\n%s cores (%s) shared by three machines, Terraform and the clients; load average %s before, %s after\n' \
        "$(nproc)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$load_before" "$(cut -d' ' -f1 /proc/loadavg)"
}

# finish reports what was measured, also if a part failed, and ends the lab.
finish() {
    local status=$?
    stop_clients || status=1
    [ ! -s "$work/table" ] || report || status=1
    [ -n "${KEEP:-}" ] || end_lab || status=1
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

# configuration NAME SOURCE… copies files to $work/NAME and initialises Terraform there.
configuration() {
    local target=$work/$1
    shift
    mkdir -p "$target"
    cp "$@" "$target"
    quietly tf "$target" init -input=false
}

apply() { # NAME ARGUMENT…
    tf "$work/$1" apply -input=false -auto-approve "${@:2}"
}

# plan NAME ARGUMENT… fails unless there is nothing to do.
plan() {
    tf "$work/$1" plan -input=false -detailed-exitcode "${@:2}"
}

boot() {
    say "boot of a machine, 5 times"
    for _ in 1 2 3 4 5; do
        quietly bin/lab poweroff web1
        timed boot bin/lab start web1
    done
    row "boot of a machine to agent ready" s boot "<= 1"
}

stack() {
    local release=(-var "release=$PWD/bin/notes.tar.gz") weight
    mkdir -p "$work/stacks" "$work/modules"
    cp -r examples/modules/* "$work/modules"
    configuration stacks/pair "$example"/*.tf tools/bench/stack/*.tf
    say "first apply of $example, 3 times on fresh machines"
    for _ in 1 2 3; do
        quietly bin/lab reset -same-incarnation "${machines[@]}"
        rm -f "$work"/stacks/pair/terraform.tfstate*
        timed first apply stacks/pair "${release[@]}"
    done
    row "first apply of HAProxy + 2 servers + replication" s first "<= 8"

    say "plan with nothing to do, 5 times"
    for _ in 1 2 3 4 5; do timed plan plan stacks/pair "${release[@]}"; done
    row "plan with nothing to do, that stack" s plan "<= 0.5"

    say "one server's weight changed, 5 times"
    for weight in 50 60 70 80 90; do
        timed weight apply stacks/pair "${release[@]}" -var "weights={web1=$weight}"
    done
    row "one server's weight changed, apply" s weight "<= 0.8"
}

agent() {
    say "the agent: size, memory, a PUT that changes nothing"
    stat -c %s bin/foobar-agent | awk '{ print $1 / 1e6 }' >"$work/size"
    row "agent: binary" MB size "<= 16"

    go test -c -tags bench -o "$work/client.test" ./internal/client
    BENCH_MACHINE=lb1 BENCH_ADDRESS=10.0.0.10 BENCH_NAME=notes bin/lab manage -- \
        "$work/client.test" -test.run '^$' -test.bench Put -test.benchtime 1x -test.count 20 >"$work/put.out" ||
        { cat "$work/put.out" >&2; return 1; }
    awk '/ns\/op/ { print $3 / 1e6 }' "$work/put.out" >"$work/put"

    sleep 10 # idle is what is measured
    for machine in "${machines[@]}"; do
        # shellcheck disable=SC2016 # it is for the machine's shell
        bin/lab exec "$machine" -- sh -c 'cat /proc/$(systemctl show --property MainPID --value foobar-agent)/status' |
            awk '/^VmRSS/ { print $2 * 1024 / 1e6 }' >>"$work/rss"
    done
    row "agent: idle RSS, on each machine" MB rss "<= 26"
    row "agent: PUT that changes nothing" ms put "<= 50"
}

# balanced sets up what throughput and changes measure, once.
balanced() {
    [ -d "$work/load-balancer" ] && return
    say "nginx on web1 and web2; foobar_load_balancer and HAProxy by hand on lb1"
    start_backends
    configuration load-balancer tools/bench/load-balancer/main.tf
    quietly apply load-balancer
    start_by_hand
    for port in 8080 8081; do
        quietly bin/lab run -- curl -sS --fail --retry 20 --retry-delay 1 --retry-all-errors "http://$address:$port/"
    done
}

throughput_ratio() {
    balanced
    say "requests/s: 60 rounds of 1 s with both at once, 25 connections each"
    compare 60
    row "requests/s through foobar_load_balancer, of the two" /s ours-rate
    row "requests/s through HAProxy by hand, of the two" /s hand-rate
    row "requests/s, ratio of the two" x ratio ">= 0.97"
    row "requests for HAProxy's CPU time, ratio of the two" x cpu-ratio ">= 0.99"
    row "p99 through foobar_load_balancer" ms ours-p99
    row "p99 through HAProxy by hand" ms hand-p99
    row "p99, ratio of the two" x p99-ratio "<= 1.05"
}

# Twenty changes, each what differs from the configuration's default; some
# reach the running HAProxy, others reload it.
changes=(
    '{ weights = { web1 = 50 } }'
    '{ weights = { web1 = 1 } }'
    '{ drained = ["web1"] }'
    '{}'
    '{ drained = ["web2"] }'
    '{}'
    '{ added = { web3 = { address = "10.0.0.1", port = 8082 } } }'
    '{ added = { web3 = { address = "10.0.0.1", port = 8082 } }, weights = { web3 = 10 } }'
    '{ added = { web3 = { address = "10.0.0.1", port = 8082 } }, drained = ["web1", "web2"] }'
    '{ added = { web3 = { address = "10.0.0.1", port = 8082 }, web4 = { address = "10.0.0.2", port = 8082 } } }'
    '{}'
    '{ timeouts = { server = "20s" } }'
    '{ timeouts = { server = "40s", client = "40s" } }'
    '{ algorithm = "least_connections" }'
    '{ algorithm = "source" }'
    '{ removed = ["web2"] }'
    '{}'
    '{ drained = ["web1"], timeouts = { connect = "1s" } }'
    '{ removed = ["web1"] }'
    '{}'
)

changes_under_load() {
    local change failed sent posts twice
    balanced
    say "${#changes[@]} changes of the load balancer under load"
    # The backends pace the clients, so there is always something on its way.
    start_clients 10 "http://$address:8080/paced"{,}
    for change in "${changes[@]}"; do
        timed change apply load-balancer -var "change=$change"
        [[ $(tail -n 20 "$work/log") == *'1 changed'* ]] || { echo "bench: nothing was changed by $change" >&2; return 1; }
        printf '    %s s  %s\n' "$(tail -n 1 "$work/change")" "$change"
    done
    stop_clients
    print_clients
    failures "${clients[@]}"
    count "failed requests during ${#changes[@]} changes" "$failed" "$sent" 0
    posts=$(figures posts | cut -d' ' -f1)
    twice=$(posts_sent_twice)
    count "POSTs that reached a server twice" "$twice" "$posts" 0
    row "one change, apply" s change
    broken=$((failed + twice))
    control
}

# control has HAProxy restarted, which the clients have to see.
control() {
    local failed sent
    start_clients 10 "http://$address:8080/paced"{,}
    sleep 2 # of load before and after
    quietly bin/lab exec lb1 -- systemctl restart foobar-lb-bench.service
    sleep 2
    stop_clients
    failures "${clients[@]}"
    count "control: failed requests during a restart" "$failed" "$sent" "> 0"
    if ((failed == 0)); then
        echo "bench: the clients saw no failure during a restart: they see nothing" >&2
        return 1
    fi
}

hundred() {
    say "100 resources: 97 load balancers on 3 fresh machines"
    quietly bin/lab reset -same-incarnation "${machines[@]}"
    configuration hundred tools/bench/hundred/main.tf
    timed hundred-apply apply hundred
    row "first apply, 100 resources" s hundred-apply
    for _ in 1 2 3 4 5; do timed hundred-plan plan hundred; done
    row "plan with nothing to do, 100 resources" s hundred-plan "<= 2"
}

wanted() { [[ $1 =~ ${ONLY:-.} ]]; }

broken=0
load_before=$(cut -d' ' -f1 /proc/loadavg)
tool wrk
say "boot the machines"
bin/lab up "$@"
mirror_provider "$(sed -n 's/^VERSION *?= *//p' GNUmakefile)" >/dev/null
if wanted boot; then boot; fi
stack # the others need enrolled machines
if wanted agent; then agent; fi
if wanted throughput; then throughput_ratio; fi
if wanted changes; then changes_under_load; fi
if wanted release; then release_under_load; fi
if wanted hundred; then hundred; fi

if ((broken > 0)); then
    echo "bench: $broken requests failed or were sent twice" >&2
    exit 1
fi
