# shellcheck shell=bash
# Sourced by the scripts that need Debian packages or root.

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

require_root() {
    ((EUID == 0)) || fail "containers are made as root here; run this as root"
}

# install_packages PACKAGE...: installs those that are missing.
install_packages() {
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    echo "installing Debian packages: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}
