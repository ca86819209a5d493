#!/bin/sh
# Packs app/ into a release with ../pack.sh.
#   pack.sh OUTPUT.tar.gz [VERSION [LEFT-OUT]]
# VERSION takes the place of the one in app/VERSION. LEFT-OUT is a file of app/ that
# is not packed, for a release that is bad on purpose.
set -eu

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
	sed -n '3s/^# */usage: /p' "$0" >&2
	exit 2
fi
here=$(dirname "$0")
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp -R "$here/app/." "$stage"
if [ $# -eq 3 ]; then rm "$stage/$3"; fi
sh "$here/../pack.sh" "$stage" "$1" ${2:+"$2"}
