#!/bin/sh
# Package sources and the rules every later install follows: nothing recommended
# comes along, and no daemon starts while the image is being made.
set -eu

cat > /usr/sbin/policy-rc.d <<'POLICY'
#!/bin/sh
exit 101
POLICY
chmod 0755 /usr/sbin/policy-rc.d

install -D -m 0644 "$(dirname "$0")/../files/apt/60-foobar" /etc/apt/apt.conf.d/60-foobar

if [ ! -e /etc/apt/sources.list.d/debian.sources ]; then
	rm -f /etc/apt/sources.list /etc/apt/sources.list.d/0000*
	install -D -m 0644 "$(dirname "$0")/../files/apt/debian.sources" /etc/apt/sources.list.d/debian.sources
fi

apt-get update
