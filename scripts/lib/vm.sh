# shellcheck shell=bash
# Sourced by scripts/test: its stage in the throw-away machine, where cgroup v2 and systemd are, and Debian
# 13's engines.

# stage_vm: machines beside each other: two of the fast kind, which have one processor each and no cpuset, huge
# pages, NAT or NUMA, and one of the slow kind for what needs those (../shared/vm/README.md).
stage_vm() {
    build debug windlass windlass-shim windlass-img windlass-conformance || return
    scripts/walkthrough --fetch || return
    local programs nothing cache=${XDG_CACHE_HOME:-$HOME/.cache}/windlass-demo machines=() machine status=0
    programs=$(mktemp -d) && nothing=$(mktemp -d) || return
    cp "$(built debug)"/windlass{,-shim,-img,-conformance} "$(type -P docker-registry)" "$programs"
    # Where qemu can't be had, the walk-through goes without published ports, and the cases skip what isn't there.
    local roomy=tcg
    type -P qemu-system-x86_64 >/dev/null || { echo "no qemu: all in the fast kind of machine"; roomy=uml; }
    if type -P crictl >/dev/null; then cp "$(type -P crictl)" "$programs"; fi
    in_machine uml 'docker --shim' 'podman --conmon' 'podman --rootless --conmon' >target/test-vm-engines.txt 2>&1 &
    machines+=($!)
    in_machine "$roomy" 'conformance scheduling cgroups' walkthrough >target/test-vm-tcg.txt 2>&1 &
    machines+=($!)
    in_machine uml conformance 'containerd --shim' 'systemd --shim' 'cri --shim' || status=1
    for machine in "${machines[@]}"; do wait "$machine" || status=1; done
    cat target/test-vm-{engines,tcg}.txt
    rm -rf -- "$programs" "$nothing"
    return "$status"
}

# in_machine KIND PART...: in a machine of its own, with what is built in its PATH and this directory at
# /mnt/windlass. A part is `walkthrough`, `conformance` with chapters or without, or a lane of scripts/engines,
# ending in its option for windlass-shim.
in_machine() {
    local kind=$1 see_image=()
    shift
    # While one kind has the image locked, the other can't, and so sees it through a file system of its own.
    # shellcheck disable=SC2016 # words of the inner shell
    [[ $kind == uml ]] || see_image=(unshare --mount sh -c
        'mount -t overlay -o "ro,lowerdir=$1:$2" windlass-vm "$1" && shift 2 && exec "$@"' sh
        "${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oci-vm}" "$nothing")
    "${see_image[@]}" "$vm/run" --machine "$kind" --mem 3000 --timeout 900 \
        --share "$PWD:/mnt/windlass:ro" --share "$programs:/mnt/programs:ro" \
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
        conformance*)
            local chapters
            read -ra chapters <<<"${1#conformance}"
            windlass-conformance --runtime /usr/local/bin/windlass --timeout 120 "${chapters[@]/#/--filter=}"
            ;;
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
