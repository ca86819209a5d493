#!/bin/sh
# Packs app/ and a virtualenv with the packages of requirements.txt into a release.
#   pack.sh OUTPUT.tar.gz [VERSION]
# VERSION takes the place of the one in app/VERSION. Where it runs, it needs any
# Python 3 with pip.
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
	sed -n '3s/^# */usage: /p' "$0" >&2
	exit 2
fi
# The Python of the machines. A virtualenv works with this version only.
python=3.13

here=$(dirname "$0")
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp -R "$here/app/." "$stage"

# A virtualenv as `python3 -m venv` makes it on such a machine: Python finds
# pyvenv.cfg beside the directory that it is called from, and the packages from
# there. So it works at whatever path the release is unpacked.
packages=$stage/venv/lib/python$python/site-packages
mkdir -p "$stage/venv/bin" "$packages"
ln -s "/usr/bin/python$python" "$stage/venv/bin/python"
printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = %s\n' "$python" >"$stage/venv/pyvenv.cfg"

# The packages are those for the machines' Python, whichever runs here, and are
# not compiled here: what needs a C library comes as a wheel that has it.
python3 -m pip install --quiet --target "$packages" --no-compile \
	--python-version "$python" --only-binary :all: --requirement "$here/requirements.txt"

# Scripts begin with the path of the Python that runs here; use `python -m` instead.
# RECORD has their checksums, and only an uninstall reads it.
rm -rf "${packages:?}/bin" "$packages"/*.dist-info/RECORD

sh "$here/../pack.sh" "$stage" "$1" ${2:+"$2"}
