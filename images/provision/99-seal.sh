#!/bin/sh
# Everything that must be different on every machine, or must not be on any. Runs
# last; the lab's test of a fresh machine asserts it.
set -eu
: "${IMAGE_BUILD:?set IMAGE_BUILD=1 on a root file system that is becoming an image: this script deletes}"

# The tree that is sealed; a test gives another than the machine's own.
root=${IMAGE_ROOT:-}

# An empty file, not a missing one: systemd then makes an id without taking the boot
# for a first boot (canonical/cloud-init#4056).
rm -f "$root"/etc/machine-id "$root"/var/lib/dbus/machine-id
install -m 0444 /dev/null "$root"/etc/machine-id

rm -f "$root"/etc/ssh/ssh_host_*_key "$root"/etc/ssh/ssh_host_*_key.pub
rm -f "$root"/root/.ssh/authorized_keys "$root"/home/*/.ssh/authorized_keys
rm -f "$root"/root/.bash_history "$root"/home/*/.bash_history "$root"/root/.lesshst "$root"/root/.wget-hsts
rm -rf "$root"/var/lib/cloud
rm -f "$root"/var/lib/systemd/random-seed "$root"/var/lib/systemd/credential.secret
rm -f "$root"/var/lib/chrony/drift "$root"/var/lib/dhcp/*.leases "$root"/var/lib/NetworkManager/secret_key "$root"/etc/hostid
rm -rf "$root"/var/lib/foobar "$root"/etc/foobar/bootstrap.json

# Package ssl-cert makes a key when it is installed: all machines of an image would
# share it. Nothing of ours uses it, and "make-ssl-cert generate-default-snakeoil"
# makes a new one.
rm -f "$root"/etc/ssl/private/ssl-cert-snakeoil.key "$root"/etc/ssl/certs/ssl-cert-snakeoil.pem
find "$root"/etc/ssl/certs -xtype l -delete
# The data of an instance that a package made would hold accounts and keys of its own.
for data in "$root"/var/lib/mysql "$root"/var/lib/postgresql; do
	[ ! -d "$data" ] || find "$data" -mindepth 1 -delete
done
# The backups of the account files keep what was taken out of them.
rm -f "$root"/etc/passwd- "$root"/etc/group- "$root"/etc/shadow- "$root"/etc/gshadow- "$root"/etc/subuid- "$root"/etc/subgid-

rm -rf "$root"/var/log/journal/*
find "$root"/var/log -type f ! -path "$root/var/log/journal/*" -delete
rm -rf "$root"/tmp/* "$root"/var/tmp/*

[ -L "$root"/etc/resolv.conf ] || printf '' > "$root"/etc/resolv.conf
printf 'localhost\n' > "$root"/etc/hostname

# Whatever a package of tomorrow leaves behind fails the build here: a key that is in
# an image is no secret. A text of ours may hold the words, so of /usr/lib/foobar only
# texts are looked at: the agent's program has them too.
pem='-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----'
places=''
for place in boot etc home media mnt opt root srv usr/local var; do
	[ ! -d "$root/$place" ] || places="$places $root/$place"
done

# derKeys prints the files that begin as a private key or a key store does that is no
# text: PKCS #8 (plain and encrypted), PKCS #1, SEC 1, PKCS #12, Java's, Kerberos's and
# OpenPGP's.
derKeys() {
	# shellcheck disable=SC2086,SC2016 # several places; the variables are Perl's
	find $places -xdev -type f -size +0 -print0 | perl -0 -ne '
		chomp;
		open(my $file, "<:raw", $_) or die "$_: $!";
		read($file, my $start, 64);
		my $sequence = qr/\x30(?:[\x00-\x7f]|\x81.|\x82..|\x83...)/s;
		print "$_\n" if $start =~ /^(?:
			$sequence (?: \x02\x01[\x00\x01]\x30 | \x02\x01\x00\x02 | \x02\x01\x01\x04 | \x02\x01\x03\x30
				| $sequence \x06.\x2a\x86\x48\x86\xf7\x0d\x01[\x05\x0c] )
			| \xfe\xed\xfe\xed | \xce\xce\xce\xce | \x05\x02\x00\x00 | \x95..\x04 )/sx'
}

# What cannot be looked at fails the build, too.
binary=$(derKeys)
# The last one is a password that some package made up.
# shellcheck disable=SC2086 # several places
keys=$({
	[ -z "$binary" ] || printf '%s\n' "$binary"
	grep -rlaE -e "$pem" $places
	grep -rlIE -e "$pem" "$root/usr/lib/foobar"
	find $places -xdev \( -name '*.p12' -o -name '*.pfx' -o -name '*.jks' -o -name '*.keytab' \) -type f
	grep -lE '^[[:space:]]*password[[:space:]]*=[[:space:]]*[^[:space:]]' "$root/etc/mysql/debian.cnf"
} 2>/dev/null | sort -u || true)
if [ -n "$keys" ]; then
	printf '%s\n%s\n' "99-seal.sh: the image holds keys that all its machines would share; delete them in the script that makes them, or here:" "$keys" >&2
	exit 1
fi
