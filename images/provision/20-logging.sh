#!/bin/sh
# The journal is the log of a machine, kept over reboots and bounded. rsyslog stands
# beside it for forwarding, and keeps one small local file.
set -eu
export DEBIAN_FRONTEND=noninteractive
files=$(dirname "$0")/../files

apt-get install -y rsyslog

install -D -m 0644 "$files/journald/60-foobar.conf" /etc/systemd/journald.conf.d/60-foobar.conf
install -D -m 0644 "$files/rsyslog/rsyslog.conf" /etc/rsyslog.conf
install -D -m 0755 "$files/rsyslog/rotate-syslog" /usr/lib/foobar/rotate-syslog
install -d -m 2755 -o root -g systemd-journal /var/log/journal
