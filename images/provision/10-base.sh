#!/bin/sh
# The operating system around the engines: init, D-Bus, network, clock, firewall
# tool, certificates, and what an operator needs at 3 a.m.
set -eu
export DEBIAN_FRONTEND=noninteractive

apt-get install -y \
	systemd-sysv dbus libpam-systemd \
	ca-certificates chrony nftables \
	iproute2 iputils-ping curl less procps

install -D -m 0644 "$(dirname "$0")/../files/sysctl/60-foobar.conf" /etc/sysctl.d/60-foobar.conf

systemctl set-default multi-user.target
systemctl enable systemd-networkd.service
# Nothing of ours waits for the network to be complete: the agent and the engines
# listen before an address is there, and a missing cable must not hold up the boot.
systemctl disable systemd-networkd-wait-online.service
# The agent owns the ruleset; Debian's unit would flush it when it stops.
systemctl disable nftables.service
# Updates are a policy of foobar_machine, never a timer's own idea.
systemctl disable apt-daily.timer apt-daily-upgrade.timer
