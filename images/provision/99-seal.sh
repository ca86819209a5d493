#!/bin/sh
# Everything that must be different on every machine, or must not be on any. Runs
# last; the lab's test of a fresh machine asserts it.
set -eu
: "${IMAGE_BUILD:?set IMAGE_BUILD=1 on a root file system that is becoming an image: this script deletes}"

# An empty file, not a missing one: systemd then makes an id without taking the boot
# for a first boot (canonical/cloud-init#4056).
rm -f /etc/machine-id /var/lib/dbus/machine-id
install -m 0444 /dev/null /etc/machine-id

rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
rm -f /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys
rm -f /root/.bash_history /home/*/.bash_history /root/.lesshst /root/.wget-hsts
rm -rf /var/lib/cloud
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
rm -rf /var/lib/foobar /etc/foobar/bootstrap.json

rm -rf /var/log/journal/*
find /var/log -type f ! -path '/var/log/journal/*' -delete
rm -rf /tmp/* /var/tmp/*

[ -L /etc/resolv.conf ] || printf '' > /etc/resolv.conf
printf 'localhost\n' > /etc/hostname
