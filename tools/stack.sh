# shellcheck shell=bash
# Sourced by the scripts that make a lab and end it: a provider mirror made of bin/,
# `tf`, which runs Terraform in the management namespace, and `end_lab`.

# What a lab's stack needs lies beside the lab's own state, and goes with it.
lab_dir=${FOOBAR_LAB_STATE:-/var/lib/foobar-lab}/${FOOBAR_LAB_NAME:-demo}
state_dir=$lab_dir

# end_lab ends the lab and removes what it keeps for the next one of its name, such as
# its seed. The image stays in the cache of images.
end_lab() {
    if [ -x bin/lab ]; then bin/lab down || return; fi
    rm -rf "$lab_dir"
    rmdir --ignore-fail-on-non-empty "${lab_dir%/*}" 2>/dev/null || true # another lab may be there
}

# mirror_provider puts bin/terraform-provider-foobar where `terraform init`
# finds it without a network, and prints the CLI configuration that says so.
mirror_provider() {
    local mirror=$state_dir/mirror version=$1 arch target
    arch=$(go env GOARCH)
    target=$mirror/registry.terraform.io/foobar-stack/foobar/$version/linux_$arch
    rm -rf "$mirror"
    mkdir -p "$target"
    cp bin/terraform-provider-foobar "$target/terraform-provider-foobar_v$version"
    cat >"$state_dir/terraformrc" <<RC
provider_installation {
  filesystem_mirror {
    path = "$mirror"
  }
}
RC
    echo "$state_dir/terraformrc"
}

# database_password prints the password of the app's account, made once for each
# lab and kept beside its seed.
database_password() {
    local file=$state_dir/database-password
    if [ ! -s "$file" ]; then
        mkdir -p "${file%/*}"
        (umask 077 && head -c 24 /dev/urandom | base64 >"$file.part")
        mv "$file.part" "$file"
    fi
    cat "$file"
}

# tf STACK ARG… runs Terraform on a stack, inside the management namespace, with
# the lab's seed and the database's password in its environment.
tf() {
    local stack=$1 password
    shift
    password=$(database_password)
    TF_VAR_database_password=$password TF_CLI_CONFIG_FILE=$state_dir/terraformrc CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 \
        bin/lab manage -- "$(tools/terraform.sh)" -chdir="$stack" "$@"
}
