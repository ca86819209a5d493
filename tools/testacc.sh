#!/usr/bin/env bash
# The tests that need booted machines, in a lab of their own beside the demo's:
#   testacc.sh [--full] NAME=ADDR[,ADDR]…
# They carry the build tag "lab", the long ones "full" too. By package:
#   internal/lab        run here, since they make and end labs
#   internal/agent/…, internal/replication/…
#                       run as root on a machine, with its real engines; side by side, one to a machine
#   the others          run in the lab's management namespace, as Terraform does
# These settings help while working on one test:
#   RUN=regexp   only tests that match, and what they count
#   ONLY=regexp  only packages that match
#   KEEP=1       leave the lab up         FOOBAR_LAB_NAME=name   another lab than "test"
set -euo pipefail
cd "$(dirname "$0")/.."

tags=lab
if [ "${1:-}" = --full ]; then
    tags=lab,full
    shift
fi
[ $# -ge 1 ] || { sed -n '3s/^# */usage: /p' tools/testacc.sh >&2; exit 2; }
specs=("$@")
machines=("${specs[@]%%=*}")
export FOOBAR_LAB_NAME=${FOOBAR_LAB_NAME:-test}
TF_ACC_TERRAFORM_PATH=$(tools/terraform.sh)
export TF_ACC=1 TF_ACC_TERRAFORM_PATH CHECKPOINT_DISABLE=1
tests=$PWD/bin/tests/$FOOBAR_LAB_NAME
flags=(-test.timeout 120m -test.run "${RUN:-.}")
[ -z "${RUN:-}" ] || flags+=(-test.v)
failed=()

# shellcheck source=tools/stack.sh
source tools/stack.sh

say() { printf '==> %s\n' "$*"; }

# finish ends the lab, after what still runs in it: of a package that was broken off,
# the next step would boot its machine again.
finish() {
    local status=$? running
    mapfile -t running < <(jobs -p)
    if [ ${#running[@]} -gt 0 ]; then
        kill "${running[@]}" 2>/dev/null || true
        wait "${running[@]}" 2>/dev/null || true
    fi
    [ -n "${KEEP:-}" ] || end_lab || status=1
    exit "$status"
}
trap finish EXIT

# packages PATTERN lists the packages with machine tests whose path matches.
packages() {
    git grep -lE '^//go:build lab' -- 'internal/*_test.go' | xargs -n1 dirname | sort -u |
        grep -E "${ONLY:-.}" | grep -E "$1" || true
}

# took PACKAGE BEGAN says how long a package's tests took.
took() { say "$1 took $((SECONDS - $2)) s"; }

binary() { echo "$tests/${1//\//-}.test"; }

compile() {
    say "compile $1"
    go test -c -tags "$tags" -o "$(binary "$1")" "./$1"
}

# on_machine MACHINE PACKAGE runs a package's tests as root on a machine, and
# gives it a fresh disk afterwards.
on_machine() {
    local machine=$1 package=$2 dir=/root/tests/$2 outcome=0 began=$SECONDS
    {
        bin/lab exec "$machine" -- mkdir -p "$dir"
        if [ -d "$package/testdata" ]; then
            tar -C "$package" -cf - testdata | bin/lab exec "$machine" -- tar -C "$dir" -xf -
        fi
        bin/lab exec "$machine" -- sh -c "cat >$dir/run && chmod +x $dir/run" <"$(binary "$package")"
        bin/lab exec "$machine" -- sh -c "cd $dir && exec ./run ${flags[*]@Q}" || outcome=$?
        took "$package" "$began"
        bin/lab reset -same-incarnation "$machine"
    } >"$(binary "$package").log" 2>&1
    return $outcome
}

# on_machines runs packages side by side; a machine that is done takes the next one.
# The longest comes first by its name: internal/agent/appserver.
on_machines() {
    local free=("${machines[@]}") pid outcome
    local -A machine_of=() package_of=()
    while [ $# -gt 0 ] || [ ${#package_of[@]} -gt 0 ]; do
        if [ $# -gt 0 ] && [ ${#free[@]} -gt 0 ]; then
            say "$1 on ${free[0]}"
            on_machine "${free[0]}" "$1" &
            machine_of[$!]=${free[0]} package_of[$!]=$1
            free=("${free[@]:1}")
            shift
            continue
        fi
        outcome=0
        wait -n -p pid "${!package_of[@]}" || outcome=$?
        [ $outcome -eq 0 ] || failed+=("${package_of[$pid]}")
        say "${package_of[$pid]} said"
        cat "$(binary "${package_of[$pid]}").log"
        free+=("${machine_of[$pid]}")
        unset "machine_of[$pid]" "package_of[$pid]"
    done
}

rm -rf "$tests" && mkdir -p "$tests"
mapfile -t here < <(packages '^internal/lab')
mapfile -t inside < <(packages '^internal/(agent|replication)/')
mapfile -t outside < <(packages '^internal/' | grep -vE '^internal/(lab|(agent|replication)/)' || true)
all=("${here[@]}" "${inside[@]}" "${outside[@]}")
if [ ${#all[@]} -eq 0 ]; then
    echo "no package with machine tests matches ONLY=${ONLY:-}" >&2
    exit 2
fi
for package in "${all[@]}"; do
    compile "$package"
done

for package in "${here[@]}"; do
    say "$package"
    began=$SECONDS
    (cd "$package" && "$(binary "$package")" "${flags[@]}") || failed+=("$package")
    took "$package" "$began"
done
if [ ${#inside[@]} -gt 0 ]; then
    bin/lab up "${specs[@]}"
    on_machines "${inside[@]}"
fi
for package in "${outside[@]}"; do
    say "$package"
    bin/lab up "${specs[@]}"
    began=$SECONDS
    lab=$PWD/bin/lab
    (cd "$package" && "$lab" manage -- "$(binary "$package")" "${flags[@]}") || failed+=("$package")
    took "$package" "$began"
done

if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
