#!/bin/sh
# Database engines, without a database: data directories are made by the agent, one
# per component.
set -eu
: "${IMAGE_BUILD:?set IMAGE_BUILD=1 on a root file system that is becoming an image: this script deletes}"
export DEBIAN_FRONTEND=noninteractive

install -D -m 0644 "$(dirname "$0")/../files/postgresql/createcluster.conf" /etc/postgresql-common/createcluster.conf

apt-get install -y -o Dpkg::Options::=--force-confold \
	mariadb-server mariadb-backup postgresql-17

systemctl disable mariadb.service postgresql.service

# Debian's scripts create an instance at installation: 100 MB nobody will use.
find /var/lib/mysql -mindepth 1 -delete
