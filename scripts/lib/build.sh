# shellcheck shell=bash
# Sourced, after packages.sh, by the scripts that compile our programs.

# build PROFILE PACKAGE...: builds programs for debugging (debug), or as they are installed (release): static,
# with musl (docs/decisions/musl.md).
build() {
    local profile=$1 package packages=()
    shift
    for package in "$@"; do packages+=(--package "$package"); done
    case $profile in
        debug) cargo build --quiet --locked "${packages[@]}" ;;
        release) build_with_musl "${packages[@]}" ;;
    esac
}

# built PROFILE: the directory that build puts the programs of a profile in.
built() {
    local target
    if [[ $1 == release ]]; then target=$(musl); else target=$(rustc --print host-tuple); fi
    echo "${CARGO_TARGET_DIR:-target}/$target/$1"
}

musl() { echo "$(uname -m)-unknown-linux-musl"; }

# Whether the toolchain has a standard library for musl.
has_musl() { compgen -G "$(rustc --print target-libdir --target "$(musl)")/libstd-*" >/dev/null; }

# install_musl: what build release needs: nothing, or Debian's compiler and the source of its standard library, which
# are of one version; rustup's compiler comes without the source.
install_musl() {
    has_musl || { [[ -x $(command -v apt-get) ]] &&
        install_packages rustc-web cargo-web rust-web-src musl-tools gcc; } ||
        fail "the toolchain has no standard library for $(musl): rustup target add $(musl)"
}

# build_with_musl OPTION...: by the toolchain's own standard library, or with one that is compiled with the program.
build_with_musl() {
    local target variable
    target=$(musl)
    if has_musl; then
        cargo build --quiet --locked --release --target "$target" "$@"
        return
    fi
    install_musl && no_unwinder target/musl || return
    # Where the linker finds what a program begins and ends with (crt1.o and the like): musl's and the compiler's.
    local places=(target/musl "/usr/lib/$(uname -m)-linux-musl" "$(dirname -- "$(gcc -print-file-name=crtbeginS.o)")")
    variable=${target//-/_}
    env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 "CC_$variable=musl-gcc" \
        "CARGO_TARGET_${variable^^}_RUSTFLAGS=-C link-self-contained=yes ${places[*]/#/-L native=}" \
        /usr/bin/cargo build --quiet --locked --release --target "$target" "$@" \
        -Z build-std=std,panic_abort -Z build-std-features=optimize_for_size
}

# no_unwinder DIR: makes a libunwind.a that finds nothing. All that is asked of it, as our panics abort, are the
# frames of a backtrace, and a stripped program has no names for them.
no_unwinder() {
    mkdir -p "$1"
    gcc -O2 -ffreestanding -x c -c -o "$1/unwind.o" - <<'EOF'
int _Unwind_Backtrace(void *frame, void *argument) { return 5; /* _URC_END_OF_STACK */ }
void *_Unwind_FindEnclosingFunction(void *address) { return 0; }
unsigned long _Unwind_GetCFA(void *context) { return 0; }
unsigned long _Unwind_GetIP(void *context) { return 0; }
EOF
    ar rcs "$1/libunwind.a" "$1/unwind.o"
}
