#!/usr/bin/env bash
# The tests that need booted machines, in a lab of their own beside the demo's:
#   testacc.sh [--full] NAME=ADDR[,ADDR]…
# They carry the build tag "lab", the long ones "full" too. By package:
#   internal/lab        run here, since they make and end labs
#   internal/agent/…    run as root on a machine, with its real engines; so does internal/replication/…
#   the others          run in the lab's management namespace, as Terraform does
# Some settings help while working on one test:
#   RUN=regexp   only tests that match    ONLY=path   only packages that match
#   KEEP=1       leave the lab up         FOOBAR_LAB_NAME=mine   a lab beside "test"
set -euo pipefail
cd "$(dirname "$0")/.."

tags=lab
if [ "${1:-}" = --full ]; then
    tags=lab,full
    shift
fi
export FOOBAR_LAB_NAME=${FOOBAR_LAB_NAME:-test}
TF_ACC_TERRAFORM_PATH=$(tools/terraform.sh)
export TF_ACC=1 TF_ACC_TERRAFORM_PATH CHECKPOINT_DISABLE=1
tests=$PWD/bin/tests/$FOOBAR_LAB_NAME
rm -rf "$tests" && mkdir -p "$tests"

say() { printf '==> %s\n' "$*"; }

end_lab() { [ -n "${KEEP:-}" ] || bin/lab down; }
trap end_lab EXIT

mapfile -t packages < <(git grep -lE '^//go:build lab' -- 'internal/*_test.go' | xargs -n1 dirname | sort -u | grep -E "${ONLY:-.}")
failed=()

for package in "${packages[@]}"; do
    binary=$tests/${package//\//-}.test
    say "$package"
    go test -c -tags "$tags" -o "$binary" "./$package"
    arguments=(-test.v=false -test.timeout 60m -test.run "${RUN:-.}")
    case $package in
    internal/lab*)
        (cd "$package" && "$binary" "${arguments[@]}") || failed+=("$package")
        ;;
    internal/agent/* | internal/replication/*)
        bin/lab up "$@"
        bin/lab exec web1 -- mkdir -p "/root/tests/$package"
        tar -C "$package" -cf - --ignore-failed-read testdata 2>/dev/null | bin/lab exec web1 -- tar -C "/root/tests/$package" -xf - || true
        bin/lab exec web1 -- sh -c "cat >/root/tests/run && chmod +x /root/tests/run" <"$binary"
        bin/lab exec web1 -- sh -c "cd /root/tests/$package && exec /root/tests/run ${arguments[*]}" || failed+=("$package")
        bin/lab reset -same-incarnation web1
        ;;
    *)
        bin/lab up "$@"
        (cd "$package" && ../../../bin/lab manage -- "$binary" "${arguments[@]}") || failed+=("$package")
        ;;
    esac
done

if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
