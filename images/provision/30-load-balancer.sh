#!/bin/sh
# Load balancer engines. Each component runs under a foobar-… unit of its own, so
# Debian's units, which know only one instance, stay disabled.
set -eu
export DEBIAN_FRONTEND=noninteractive

apt-get install -y haproxy nginx keepalived

systemctl disable haproxy.service nginx.service keepalived.service

# keepalived refuses to run check scripts as root; this is the account it looks for.
getent passwd keepalived_script > /dev/null ||
	useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin keepalived_script
