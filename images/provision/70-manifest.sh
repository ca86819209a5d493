#!/bin/sh
# What the image is made of: its version and every package's, for the agent to tell.
# IMAGE_VERSION names a release of the image; without it, the Debian release does.
set -eu
version=${IMAGE_VERSION:-debian-$(cat /etc/debian_version)}

install -d -m 0755 /usr/lib/foobar
{
	printf '{"version": "%s", "packages": {' "$version"
	# shellcheck disable=SC2016 # the fields are dpkg-query's, not the shell's
	dpkg-query -W -f '${db:Status-Status} "${binary:Package}": "${Version}"\n' |
		sed -n 's/^installed //p' | sort | paste -s -d ,
	printf '}}\n'
} >/usr/lib/foobar/image.json
chmod 0644 /usr/lib/foobar/image.json
