#!/bin/sh
# What only the making of the image needed.
set -eu
: "${IMAGE_BUILD:?set IMAGE_BUILD=1 on a root file system that is becoming an image: this script deletes}"

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/lib/dpkg/*-old
rm -f /usr/sbin/policy-rc.d
