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
rm -f /var/lib/chrony/drift /var/lib/dhcp/*.leases /var/lib/NetworkManager/secret_key /etc/hostid
rm -rf /var/lib/foobar /etc/foobar/bootstrap.json

# Package ssl-cert makes a key when it is installed: all machines of an image would
# share it. Nothing of ours uses it, and "make-ssl-cert generate-default-snakeoil"
# makes a new one.
rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
find /etc/ssl/certs -xtype l -delete
# The data of an instance that a package made would hold accounts and keys of its own.
for data in /var/lib/mysql /var/lib/postgresql; do
	[ ! -d "$data" ] || find "$data" -mindepth 1 -delete
done
# The backups of the account files keep what was taken out of them.
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-

rm -rf /var/log/journal/*
find /var/log -type f ! -path '/var/log/journal/*' -delete
rm -rf /tmp/* /var/tmp/*

[ -L /etc/resolv.conf ] || printf '' > /etc/resolv.conf
printf 'localhost\n' > /etc/hostname

# Whatever a package of tomorrow leaves behind fails the build here: a key that is in
# an image is no secret. The last one is a password that some package made up.
keys=$(grep -rlIE -e '-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----' \
	/boot /etc /home /media /mnt /opt /root /srv /usr/lib/foobar /usr/local /var 2>/dev/null || true)
keys="$keys $(find /etc /var -xdev \( -name '*.p12' -o -name '*.pfx' -o -name '*.jks' -o -name '*.keytab' \) -type f 2>/dev/null)"
keys="$keys $(grep -lE '^[[:space:]]*password[[:space:]]*=[[:space:]]*[^[:space:]]' /etc/mysql/debian.cnf 2>/dev/null || true)"
keys=$(printf '%s' "$keys" | tr -s ' \n' ' ')
if [ "$keys" != ' ' ] && [ -n "$keys" ]; then
	echo "99-seal.sh: the image holds keys that all its machines would share:$keys; delete them in the script that makes them, or here" >&2
	exit 1
fi
