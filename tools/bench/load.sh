# shellcheck shell=bash
# Sourced by bench.sh, after tools/load/clients.sh: the servers behind the load balancers
# of machine lb1, and the comparison of two load balancers.
: "${work:?}"

address=203.0.113.10

# install_in MACHINE FILE PATH puts a file into a machine.
install_in() {
    # shellcheck disable=SC2016 # it is for the machine's shell
    quietly bin/lab exec "$1" -- sh -c 'mkdir -p "$(dirname "$0")" && cat >"$0"' "$3" <"$2"
}

start_backends() {
    for machine in web1 web2; do
        install_in "$machine" tools/bench/backend.conf /run/bench/nginx.conf
        quietly bin/lab exec "$machine" -- systemd-run --unit=bench-backend nginx -c /run/bench/nginx.conf
    done
}

start_by_hand() {
    install_in lb1 tools/bench/by-hand.cfg /run/bench/by-hand.cfg
    install_in lb1 tools/bench/by-hand.conf /run/systemd/system/haproxy.service.d/bench.conf
    quietly bin/lab exec lb1 -- systemctl daemon-reload
    quietly bin/lab exec lb1 -- systemctl start haproxy.service
}

# cpu UNIT prints the nanoseconds that a unit's present processes have computed on lb1.
cpu() {
    # shellcheck disable=SC2016 # it is for the machine's shell
    bin/lab exec lb1 -- sh -c 'for p in $(cat "/sys/fs/cgroup/system.slice/$0/cgroup.procs"); do cat /proc/"$p"/task/*/schedstat; done' "$1" |
        awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

declare -A port=([ours]=8080 [hand]=8081)
declare -A unit=([ours]=foobar-lb-bench.service [hand]=haproxy.service)

# together SECONDS NAME NAME loads both load balancers at once, who is named
# first a moment earlier: $work/NAME.wrk has what wrk got through each, and
# $work/NAME.cpu the CPU time that it took.
together() {
    local name pid after pids=()
    for name in "${@:2}"; do cpu "${unit[$name]}" >"$work/$name.before" || return; done
    for name in "${@:2}"; do
        (load "$name" -c25 "-d${1}s" --script tools/load/clients.lua "http://$address:${port[$name]}/") &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || return; done
    for name in "${@:2}"; do
        after=$(cpu "${unit[$name]}") || return
        echo $((after - $(<"$work/$name.before"))) >"$work/$name.cpu"
    done
}

# restart_both gives both a new process: what one happens to get of the host,
# such as the layout of its memory, stays with it, and is nobody's merit.
restart_both() {
    quietly bin/lab exec lb1 -- systemctl restart "${unit[@]}"
    sleep 3 # both have checked their servers
    quietly together 1 ours hand
}

# compare ROUNDS measures both load balancers at once, so that what else the
# host does falls on both in the same moment: in turn, two that were the same
# differed by 7 % over 32 rounds. Many short rounds, since who gets a core first
# is chance. A round in which a request failed is void: errors are quick to make.
compare() {
    local round failed sent
    for ((round = 1; round <= $1; round++)); do
        ((round % 5 != 1)) || restart_both
        if ((round % 2)); then quietly together 1 ours hand; else quietly together 1 hand ours; fi
        failures ours hand
        if ((failed > 0)); then
            say "round $round is void: $failed of $sent requests failed"
            continue
        fi
        paste -d' ' <(figures ours) <(figures hand) "$work/ours.cpu" "$work/hand.cpu" | keep_round "$round"
    done
}

# keep_round ROUND adds a round's figures to the samples.
keep_round() {
    awk -v round="$1" -v dir="$work" '{
        ours = $17 / $1 / 1000; hand = $18 / $9 / 1000
        printf "    round %2d: %5d requests/s, by hand %5d; CPU of a request %.0f us, by hand %.0f us\n", round, $2, $10, ours, hand
        print $2 >>(dir "/ours-rate"); print $10 >>(dir "/hand-rate"); print $2 / $10 >>(dir "/ratio")
        print $3 >>(dir "/ours-p99"); print $11 >>(dir "/hand-p99"); print $3 / $11 >>(dir "/p99-ratio")
        print hand / ours >>(dir "/cpu-ratio")
    }'
}

# posts_sent_twice prints how many POSTs reached the backends more than once.
posts_sent_twice() {
    for machine in web1 web2; do bin/lab exec "$machine" -- cat /run/bench/posts || exit; done | sort | uniq -d | wc -l
}
