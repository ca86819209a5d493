# shellcheck shell=bash
# Sourced by bench.sh, after load.sh: a release of an app under load, beside a
# restart of the same app under a unit by hand.

: "${work:?}" "${address:?}" "${clients:?}"
declare -A app_port=([ours]=8090 [hand]=8091)

# releasable sets up both ways to run the app, once, and has both releases on the
# machines.
releasable() {
    say "the app of examples/apps/go on web1 and web2, as a foobar_app_server and by hand"
    configuration release tools/bench/release/main.tf
    for release in go-2 go; do quietly release_app "$release"; done
    for machine in web1 web2; do
        install_in "$machine" bin/apps/go /run/bench/app/server
        install_in "$machine" tools/bench/app.service /run/systemd/system/bench-app.service
        install_in "$machine" tools/bench/app.conf /run/bench/app.conf
        quietly bin/lab exec "$machine" -- chmod 755 /run/bench/app/server
        quietly bin/lab exec "$machine" -- systemctl start bench-app.service
        quietly bin/lab exec "$machine" -- systemd-run --unit=bench-front nginx -c /run/bench/app.conf
    done
    install_in lb1 tools/bench/app.cfg /run/bench/app.cfg
    quietly bin/lab exec lb1 -- systemd-run --unit=bench-app-lb haproxy -W -db -f /run/bench/app.cfg
    for name in ours hand; do
        quietly bin/lab run -- curl -sS --fail --retry 20 --retry-delay 1 --retry-all-errors "$(app_url "$name")"
    done
}

app_url() { echo "http://$address:${app_port[$1]}/"; }

release_app() { apply release -var "release=$PWD/bin/apps/$1"; }

# restart_apps restarts the app by hand, one server after the other: the second after
# 3 s, when the load balancer has seen that the first is back (rise 2, fastinter 500ms).
# It lasts as long as the last release did, so that as many requests are counted.
restart_apps() {
    local began=$EPOCHREALTIME
    quietly bin/lab exec web1 -- systemctl restart bench-app.service
    sleep 3
    quietly bin/lab exec web2 -- systemctl restart bench-app.service
    sleep "$(awk -v from="$began" -v to="$EPOCHREALTIME" -v whole="$(tail -n 1 "$work/released")" \
        'BEGIN { left = whole - (to - from); print (left > 0 ? left : 0) }')"
}

# under_load NAME COMMAND… has clients send requests to one of the two while a command
# runs; adds the p99 of its kept connections to $work/NAME-p99, in ms, and what failed
# and was sent to $work/NAME-failed. Connections wait 20 ms before a request.
under_load() {
    local name=$1 url failed sent
    shift
    url=$(app_url "${name%-*}")
    start_clients 8 "$url" "${url}ledger" 20
    sleep 1
    "$@"
    sleep 1
    stop_clients
    figures kept | awk '{ print $3 }' >>"$work/$name-p99"
    failures "${clients[@]}"
    echo "$failed $sent" >>"$work/$name-failed"
}

# ratio NAME writes the ratios of the p99 while something happened to the p99 before.
ratio() { paste -d' ' "$work/$1-change-p99" "$work/$1-quiet-p99" | awk '{ print $1 / $2 }' >"$work/$1-p99-ratio"; }

# failed_requests WHAT NAME BUDGET adds the line of what failed in all rounds.
failed_requests() {
    local failed sent
    read -r failed sent < <(awk '{ f += $1; s += $2 } END { print f, s }' "$work/$2-failed")
    count "$1" "$failed" "$sent" "$3"
    [ "$3" != 0 ] || broken=$((broken + failed))
}

release_under_load() {
    local round release
    releasable
    say "a release on two servers, and a restart by hand, under load, 4 times"
    for round in 1 2 3 4; do
        release=go-2
        ((round % 2)) || release=go
        under_load ours-quiet sleep 8
        under_load ours-change timed released release_app "$release"
        under_load hand-quiet sleep 8
        under_load hand-change restart_apps
        printf '    round %d: release %s s, p99 %s ms (without %s); restart by hand p99 %s ms (without %s)\n' "$round" \
            "$(tail -n 1 "$work/released")" "$(tail -n 1 "$work/ours-change-p99")" "$(tail -n 1 "$work/ours-quiet-p99")" \
            "$(tail -n 1 "$work/hand-change-p99")" "$(tail -n 1 "$work/hand-quiet-p99")"
    done
    ratio ours
    ratio hand
    row "a release on two servers, apply without upload (10 s are the health hold)" s released "<= 20"
    row "p99 during a release, ratio to without" x ours-p99-ratio
    row "p99 during systemctl restart behind HAProxy, ratio to without" x hand-p99-ratio
    failed_requests "failed requests during 4 releases on two servers" ours-change 0
    failed_requests "failed requests during 4 restarts by hand" hand-change -
}
