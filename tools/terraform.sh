#!/usr/bin/env bash
# Prints the path of the Terraform to use: the one on the PATH, else one that
# the hc-install library fetches into bin/.
set -euo pipefail
cd "$(dirname "$0")/.."
if found=$(command -v terraform); then
    echo "$found"
    exit
fi
if [ ! -x bin/terraform ]; then
    make --no-print-directory bin/hc-install >&2
    bin/hc-install install --version 1.11.4 --path bin terraform >&2
fi
echo "$PWD/bin/terraform"
