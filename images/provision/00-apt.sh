#!/bin/sh
# The rules every later install follows: nothing recommended comes along, and no daemon starts while the image is being made.
set -eu

cat > /usr/sbin/policy-rc.d <<'POLICY'
#!/bin/sh
exit 101
POLICY
chmod 0755 /usr/sbin/policy-rc.d

install -D -m 0644 "$(dirname "$0")/../files/apt/60-foobar" /etc/apt/apt.conf.d/60-foobar

# The sources are those that this Debian was installed from; none is named here.
if ! grep -qsE '^(deb|Types:)' /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; then
	echo "no package sources in /etc/apt: an image keeps those of the Debian that it begins with, so that needs some" >&2
	exit 1
fi
apt-get update
