# shellcheck shell=bash
# Sourced by scripts/test.

# fetch_criu DIRECTORY: puts a `criu` into DIRECTORY/bin, if the one in PATH doesn't work here:
# Debian 12's does not start on newer kernels, whose vdso it can't read. It is Debian sid's, with
# the libraries that it was built for, none of which is installed. Fails if none works.
fetch_criu() {
    local tools=$1 apt=$1/criu/apt root=$1/criu/root log=$1/criu/log mirror package
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    criu check &>/dev/null && return 0
    [[ $(dpkg --print-architecture) == amd64 ]] || return 1
    rm -rf -- "$tools/criu"
    mkdir -p "$tools/bin" "$apt"/{lists/partial,archives/partial,parts} "$root"
    # The mirror that this machine itself uses.
    # shellcheck disable=SC2016 # apt's own variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
    [[ -n $mirror && -r $keyring ]] || return 1
    printf 'deb [signed-by=%s] %s sid main\n' "$keyring" "$mirror" >"$apt/parts/sid.list"
    local options=(
        -qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/parts"
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt" -o Dir::State::status=/dev/null
        -o Acquire::Languages=none -o APT::Sandbox::User=root -o APT::Install-Recommends=false
        -o APT::Update::Post-Invoke-Success::=
    )
    echo "fetching a CRIU that starts on this kernel"
    apt-get "${options[@]}" update &>"$log" || return 1
    apt-get "${options[@]}" --yes --download-only install criu &>"$log" || return 1
    for package in "$apt"/archives/*.deb; do
        case ${package##*/} in
            criu_* | lib*) dpkg-deb --extract "$package" "$root" || return 1 ;;
        esac
    done
    # Its own loader finds its own libraries, whatever this machine has.
    local library=$root/usr/lib/x86_64-linux-gnu
    printf '#!/bin/sh\nexec "%s/ld-linux-x86-64.so.2" --library-path "%s" "%s" "$@"\n' \
        "$library" "$library" "$root/usr/sbin/criu" >"$tools/bin/criu"
    chmod +x "$tools/bin/criu"
    rm -rf -- "$apt"
    hash -r
    criu check &>"$log"
}
