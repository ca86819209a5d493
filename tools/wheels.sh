#!/usr/bin/env bash
# Makes wheels of Python libraries from packages of the machines' Debian, for pip where
# no index of Python's packages can be reached:
#   wheels.sh DIRECTORY PACKAGE…
# A wheel that is there is left as it is.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '4s/^# */usage: /p' "$0" >&2; exit 2; }
mkdir -p "$1"
directory=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# wheel PACKAGE makes a wheel of a package that holds Python alone. Its metadata
# have no dependencies: Debian's are other names.
wheel() {
    local name=${1#python3-} version info tree=$work/$1/tree
    mkdir -p "$tree"
    download "$1"
    version=$(dpkg-deb -f "$work/$1"/*.deb Version | sed 's/^[0-9]*://; s/[-+].*//')
    dpkg-deb -x "$work/$1"/*.deb "$work/$1/files"
    cp -R "$work/$1/files/usr/lib/python3/dist-packages/." "$tree"
    rm -rf "$tree"/*-info
    info=$name-$version.dist-info
    mkdir "$tree/$info"
    printf 'Metadata-Version: 2.1\nName: %s\nVersion: %s\n' "$name" "$version" >"$tree/$info/METADATA"
    printf 'Wheel-Version: 1.0\nGenerator: wheels.sh\nRoot-Is-Purelib: true\nTag: py3-none-any\n' >"$tree/$info/WHEEL"
    (cd "$tree" && find . -type f -printf '%P,,\n' >"$work/RECORD" && mv "$work/RECORD" "$info" &&
        python3 -m zipfile -c "$work/wheel" ./*)
    mv "$work/wheel" "$directory/$name-$version-py3-none-any.whl"
}

# download PACKAGE gets its file for the machines' Debian, whatever the host's is.
download() {
    local apt=(apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
    local url
    if [ ! -e "$work/sources.list" ]; then
        url=$(mirror)
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $url trixie main" >"$work/sources.list"
        mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
        "${apt[@]}" update
    fi
    (cd "$work/$1" && "${apt[@]}" download "$1")
}

# mirror prints the URL of the mirror that the lab uses, too.
mirror() {
    local given found
    read -r given _ <<<"${FOOBAR_LAB_MIRROR:-}"
    found=${given:-$(archive)}
    [ -n "$found" ] || { apt-get update -qq >&2 && found=$(archive); }
    echo "$found"
}

# archive prints the URL of Debian's archive in the host's own apt.
# shellcheck disable=SC2016 # the variable is apt's
archive() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort -u | head -n 1; }

for package in "$@"; do
    compgen -G "$directory/${package#python3-}-*.whl" >/dev/null || wheel "$package"
done
