#!/usr/bin/env bash
# The linters of what is not Go: shell scripts, Terraform files, module hygiene.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v shellcheck >/dev/null; then
    echo "==> install shellcheck"
    apt-get install -y -qq shellcheck >/dev/null || { apt-get update -qq && apt-get install -y -qq shellcheck >/dev/null; }
fi
mapfile -t scripts < <(git ls-files -- '*.sh' .ci/run images/files/rsyslog/rotate-syslog ':!examples/resources') # the docs' import.sh are lines to be quoted
shellcheck "${scripts[@]}"

# What users read says it in common words (subject, verb, object), not in these.
if git grep -nEi '\b(tells? of|anew|whoever|amiss|stands? in|nobody knows|as well, and)\b' -- README.md CHANGELOG.md docs templates 'examples/*.md' 'examples/*.tf' images/README.md; then
    echo "reword these lines" >&2
    exit 1
fi

"$(tools/terraform.sh)" fmt -check -recursive -diff examples

go mod tidy -diff
go -C tools mod tidy -diff
