#!/usr/bin/env bash
# Packs two releases of each example app that needs nothing but its app server, into
# DIRECTORY: NAME and NAME-2.
#   apps.sh DIRECTORY
set -euo pipefail
[ $# -eq 1 ] || { sed -n '4s/^# */usage: /p' "$0" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
apps=examples/apps

if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "==> install pip"
    apt-get install -y -qq --no-install-recommends python3-pip >/dev/null ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-pip >/dev/null; }
fi
# Only the Go module proxy and Debian's mirrors are needed to build foobar.
tools/wheels.sh bin/wheels python3-gunicorn python3-packaging
export PIP_ROOT_USER_ACTION=ignore PIP_NO_INDEX=1 PIP_FIND_LINKS=$PWD/bin/wheels PIP_DISABLE_PIP_VERSION_CHECK=1

for release in 1 2; do
    suffix=""
    [ $release = 1 ] || suffix=-$release
    $apps/pack.sh $apps/python/app "$out/python$suffix.tar.gz" $release
    $apps/virtualenv/pack.sh "$out/virtualenv$suffix.tar.gz" $release
    $apps/pack.sh $apps/site/public "$out/site$suffix.tar.gz" $release
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$release" -o "$out/go$suffix" ./$apps/go
done
