# shellcheck shell=bash
# Sourced by scripts/test: its stage in the throw-away machine, where cgroup v2 and systemd are, and Debian
# 13's engines.

# stage_vm: two machines beside each other, since each has one processor only (../shared/vm/README.md).
stage_vm() {
    cargo build --quiet --locked -p windlass -p windlass-shim -p windlass-img -p windlass-conformance || return
    scripts/walkthrough --fetch || return
    local programs cache=${XDG_CACHE_HOME:-$HOME/.cache}/windlass-demo engines status=0
    programs=$(mktemp -d) || return
    cp "$(built debug)"/windlass{,-shim,-img,-conformance} "$(type -P docker-registry)" "$programs"
    if type -P crictl >/dev/null; then cp "$(type -P crictl)" "$programs"; fi
    in_machine 'docker --shim' 'podman --conmon' 'podman --rootless --conmon' >target/test-vm-engines.txt 2>&1 &
    engines=$!
    in_machine conformance walkthrough 'containerd --shim' 'cri --shim' || status=1
    wait "$engines" || status=1
    cat target/test-vm-engines.txt
    rm -rf -- "$programs"
    return "$status"
}

# in_machine PART...: in a machine of its own, with what is built in its PATH and this directory at /mnt/windlass.
# A part is `conformance`, `walkthrough`, or a lane of scripts/engines, ending in its option for windlass-shim.
in_machine() {
    "$vm/run" --mem 3000 --timeout 900 --share "$PWD:/mnt/windlass:ro" --share "$programs:/mnt/programs:ro" \
        --share "$cache:/mnt/cache:ro" -- bash -c '
            # Shares are slow, and not for other users.
            cp /mnt/programs/* /usr/local/bin/ && cd /mnt/windlass && . scripts/lib/vm.sh || exit
            status=0
            for part in "$@"; do
                echo "--- $part"
                begin=$SECONDS
                run_part "$part"
                code=$?
                ((code == 0)) || status=1
                echo "--- $part: status $code after $((SECONDS - begin)) s"
            done
            exit "$status"' bash "$@"
}

# run_part PART: in the machine.
run_part() {
    case $1 in
        conformance) windlass-conformance --runtime /usr/local/bin/windlass --timeout 120 ;;
        walkthrough)
            scripts/walkthrough --programs /usr/local/bin --image /mnt/cache/image --wheels /mnt/cache/wheels
            ;;
        *)
            local lane
            read -ra lane <<<"$1"
            "scripts/engines/${lane[0]}" "${lane[@]:1}" windlass-shim --runtime windlass
            ;;
    esac
}
