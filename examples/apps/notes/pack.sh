#!/bin/sh
# Packs app/ into a release, and prints its checksum. The same files always make
# the same archive: order, times, owners and modes are fixed.
set -eu

if [ $# -ne 1 ]; then
	echo "usage: $0 OUTPUT.tar.gz" >&2
	exit 2
fi
app=$(dirname "$0")/app
mkdir -p "$(dirname "$1")"
part=$1.part
trap 'rm -f "$part"' EXIT
tar --create --file="$part" --directory="$app" --format=ustar --sort=name --mtime=@0 \
	--owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' \
	--exclude=__pycache__ --exclude='*.pyc' .
gzip -n -9 "$part"
mv "$part.gz" "$1"
sha256sum "$1"
