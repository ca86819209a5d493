# shellcheck shell=bash
# Sourced by bench.sh and demo.sh: load from the lab's outside client, with wrk.
# What the clients say is in $work.
: "${work:?}"

# tool PACKAGE installs a program that is not there.
tool() {
    command -v "$1" >/dev/null && return
    say "install $1 with apt"
    apt-get install -y -qq "$1" >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq "$1" >/dev/null; }
}

# load NAME ARGUMENT… becomes wrk, for a subshell; $work/NAME.wrk gets what it says.
load() {
    local name=$1
    shift
    exec bin/lab run -- wrk -t1 --timeout 10s "$@" >"$work/$name.wrk" 2>&1
}

# figures NAME prints the line of clients.lua.
figures() {
    sed -n 's/^load //p' "$work/$1.wrk" | grep . || { cat "$work/$1.wrk" >&2; return 1; }
}

# failures NAME… sets the caller's variables failed and sent: how many requests failed
# and how many were sent, of all together. A client without figures is an error: it
# counted nothing.
failures() {
    local counts
    counts=$(for name in "$@"; do figures "$name" || exit; done |
        awk '{ failed += $4 + $5 + $6 + $7 + $8; sent += $1 + $4 + $5 + $6 + $7 } END { print failed + 0, sent + 0 }') || return
    # shellcheck disable=SC2034 # the caller's
    read -r failed sent <<<"$counts"
}

# print_clients prints the figures of each of the clients below.
print_clients() {
    local client failed sent
    for client in "${clients[@]}"; do
        failures "$client"
        printf '    %-6s %d requests, %d failed; connects, reads, writes, time-outs, statuses: %s\n' \
            "$client" "$sent" "$failed" "$(figures "$client" | cut -d' ' -f4-)"
    done
}

# The clients whose requests are counted while something changes. Each is blind
# where another sees: kept connections, new ones, and what HAProxy may not send again.
clients=(kept new posts)
client_pids=()

# start_clients CONNECTIONS GETS POSTS [ARGUMENT…] starts them, with as many
# connections each, to the URLs of the GETs and the POSTs; for ten minutes at most.
# The arguments are those of clients.lua.
start_clients() {
    local connections=$1 gets=$2 posts=$3 lua=tools/load
    shift 3
    (load kept "-c$connections" -d600s --script $lua/clients.lua "$gets" -- "$@") &
    client_pids+=($!)
    (load new "-c$connections" -d600s --script $lua/clients.lua --header 'Connection: close' "$gets" -- "$@") &
    client_pids+=($!)
    (load posts "-c$connections" -d600s --script $lua/posts.lua "$posts" -- "$@") &
    client_pids+=($!)
}

# stop_clients has them finish and print their figures. It fails if one had ended
# before: nothing was counted from then on.
stop_clients() {
    local i ended=()
    [ ${#client_pids[@]} -eq 0 ] && return 0 # of a trap, return alone has the status of what failed
    for i in "${!client_pids[@]}"; do
        kill -INT "${client_pids[i]}" 2>/dev/null || ended+=("${clients[i]}")
    done
    wait "${client_pids[@]}" || true # whether each has figures is what counts
    client_pids=()
    if [ ${#ended[@]} -gt 0 ]; then
        echo "these clients ended before they were stopped: ${ended[*]}" >&2
        for i in "${ended[@]}"; do tail -n 5 "$work/$i.wrk" >&2; done
        return 1
    fi
}
