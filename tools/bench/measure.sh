# shellcheck shell=bash
# Sourced by bench.sh: samples, their statistics, and the table they end in.
# Samples are files of one number a line in $work; $work/log has the output of
# everything that ran.
: "${work:?}"

say() { printf '==> %s\n' "$*"; }

# quietly runs a command for its effect; only a failure shows what it said.
quietly() {
    echo "+ $*" >>"$work/log"
    if ! "$@" >>"$work/log" 2>&1; then
        tail -n 40 "$work/log" >&2
        printf 'bench: failed: %s\n' "$*" >&2
        exit 1
    fi
}

# timed SAMPLES COMMAND… adds the seconds that a command takes.
timed() {
    local samples=$work/$1 began=$EPOCHREALTIME
    shift
    quietly "$@"
    awk -v from="$began" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", to - from }' >>"$samples"
}

# statistics SAMPLES prints their median, least, greatest and number; fails if there
# are none.
statistics() {
    sort -g "$work/$1" | awk '
        { v[NR] = $1 }
        END {
            if (NR == 0) { print "bench: no samples" > "/dev/stderr"; exit 1 }
            print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2), v[1], v[NR], NR
        }'
}

# row WHAT UNIT SAMPLES [BUDGET] adds a line to the table: the median, the
# spread, the budget, and how many times the budget the median is.
row() {
    local samples median least greatest n
    samples=$(statistics "$3")
    read -r median least greatest n <<<"$samples"
    awk -v what="$1" -v unit="$2" -v budget="${4:-}" -v m="$median" -v a="$least" -v b="$greatest" -v n="$n" '
        function short(x) { return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : x >= 1 ? "%.2f" : "%.3f", x) }
        BEGIN {
            limit = budget
            gsub(/[^0-9.]/, "", limit)
            printf "%s|%s %s (%s-%s, n=%d)|%s|%s\n", what, short(m), unit, short(a), short(b), n,
                budget == "" ? "-" : budget " " unit, budget == "" ? "-" : sprintf("%.2f", m / limit)
        }' >>"$work/table"
}

# count WHAT NUMBER OF [BUDGET] adds a line about things that are counted.
count() { printf '%s|%d of %d|%s|-\n' "$1" "$2" "$3" "${4:--}" >>"$work/table"; }

# print_table prints the table in columns.
print_table() {
    { echo "what|median (least-greatest, n)|budget|measured / budget" && cat "$work/table"; } | awk -F'|' '
        { rows[NR] = $0; for (i = 1; i <= NF; i++) if (length($i) > width[i]) width[i] = length($i) }
        END {
            for (r = 1; r <= NR; r++) {
                n = split(rows[r], cell, "|")
                for (i = 1; i <= n; i++) printf "%-*s%s", i < n ? width[i] + 2 : 0, cell[i], i < n ? "" : "\n"
            }
        }'
}
