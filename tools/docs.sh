#!/usr/bin/env bash
# Renews docs/ ("generate") or says that it is out of date ("check").
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:?usage: docs.sh generate|check}
terraform=$(tools/terraform.sh)
tfplugindocs=$PWD/bin/tfplugindocs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# tfplugindocs builds the provider by itself only with a network; it is given
# the schema of the one in bin/ instead.
mkdir -p "$work/schema"
cat >"$work/schema/main.tf" <<'TF'
terraform {
  required_providers {
    foobar = {
      source = "foobar-stack/foobar"
    }
  }
}
TF
cat >"$work/terraformrc" <<RC
provider_installation {
  dev_overrides {
    "foobar-stack/foobar" = "$PWD/bin"
  }
  direct {}
}
RC
export TF_CLI_CONFIG_FILE=$work/terraformrc CHECKPOINT_DISABLE=1
# It looks the schema up under the address that an unpublished provider has.
"$terraform" -chdir="$work/schema" providers schema -json |
    sed 's#registry.terraform.io/foobar-stack/foobar#registry.terraform.io/hashicorp/foobar#' >"$work/schema.json"

out=docs
[ "$mode" = generate ] || out=$work/docs
render() {
    "$tfplugindocs" generate --provider-name foobar --rendered-provider-name foobar \
        --providers-schema "$work/schema.json" --rendered-website-dir "$1" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
}
if [ "$mode" = generate ]; then
    render docs
else
    echo "==> docs are current"
    mkdir -p "$work/render" && cp -a examples templates main.go go.mod "$work/render/"
    # The output directory is named relative to the provider's, which is a copy: a check
    # that is broken off leaves nothing in the tree.
    (cd "$work/render" && render docs && mv docs "$out")
    diff -ru docs "$out" || { echo "docs/ is out of date: run 'make generate' and commit the result" >&2; exit 1; }
    "$tfplugindocs" validate --provider-name foobar --providers-schema "$work/schema.json" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
fi
