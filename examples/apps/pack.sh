#!/bin/sh
# Packs a directory into a release, and prints its checksum. The same files always
# make the same artifact: order, times, owners and modes are fixed.
#   pack.sh DIRECTORY OUTPUT.tar.gz [VERSION]
# VERSION takes the place of what the file VERSION of the directory says.
set -eu

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
	sed -n '4s/^# */usage: /p' "$0" >&2
	exit 2
fi
stage=$(mktemp -d)
part=$2.part
trap 'rm -rf "$stage" "$part" "$part.gz"' EXIT
cp -R "$1/." "$stage"
if [ $# -eq 3 ]; then echo "$3" >"$stage/VERSION"; fi
mkdir -p "$(dirname "$2")"
tar --create --file="$part" --directory="$stage" --format=ustar --sort=name --mtime=@0 \
	--owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' \
	--exclude=__pycache__ --exclude='*.pyc' .
gzip -n -9 <"$part" >"$part.gz"
mv "$part.gz" "$2"
sha256sum "$2"
