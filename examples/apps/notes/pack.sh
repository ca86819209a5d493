#!/bin/sh
# Packs app/ into a release, and prints its checksum. The same files and version
# always make the same artifact: order, times, owners and modes are fixed.
#   pack.sh OUTPUT.tar.gz [VERSION [LEFT-OUT]]
# VERSION takes the place of the one in app/VERSION. LEFT-OUT is a file of app/ that
# is not packed, for a release that is bad on purpose.
set -eu

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
	sed -n '4s/^# */usage: /p' "$0" >&2
	exit 2
fi
stage=$(mktemp -d)
part=$1.part
trap 'rm -rf "$stage" "$part"' EXIT
cp -R "$(dirname "$0")/app/." "$stage"
if [ $# -ge 2 ]; then echo "$2" >"$stage/VERSION"; fi
if [ $# -eq 3 ]; then rm "$stage/$3"; fi
mkdir -p "$(dirname "$1")"
tar --create --file="$part" --directory="$stage" --format=ustar --sort=name --mtime=@0 \
	--owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' \
	--exclude=__pycache__ --exclude='*.pyc' .
gzip -n -9 "$part"
mv "$part.gz" "$1"
sha256sum "$1"
