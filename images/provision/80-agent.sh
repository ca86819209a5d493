#!/bin/sh
# The agent and its unit. AGENT is the path of the binary to install.
set -eu
: "${AGENT:?the path of the foobar-agent binary}"
files=$(dirname "$0")/../files

install -D -m 0755 "$AGENT" /usr/lib/foobar/foobar-agent
ln -sfn ../lib/foobar/foobar-agent /usr/bin/foobar-agent
install -D -m 0644 "$files/agent/foobar-agent.service" /usr/lib/systemd/system/foobar-agent.service
install -d -m 0755 /etc/foobar

systemctl enable foobar-agent.service
