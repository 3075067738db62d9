# shellcheck shell=bash
# Sourced by the lanes of scripts/engines: a private place for a real engine, and its checks.
#
# A lane runs twice. The outer run makes a cgroup and a directory; the inner one is the same script in
# new mount, network, pid and cgroup namespaces, where /run and the lane's directory are empty tmpfs
# and the cgroup is the root of every hierarchy. So whatever the engine does stays in there, ends with
# it, and can be counted exactly: every process, mount, cgroup and link that is there at the end and was
# not at the beginning has been left behind by someone.

# shellcheck source=scripts/lib/build.sh
. scripts/lib/build.sh

# Where the lane keeps its files: `$lane_root` inside, an empty directory outside.
lane_name=${0##*/}
# Its name may count from where its caller was, before it went to the repository.
lane_script=$(cd -- "${OLDPWD:-.}" && realpath -- "$0")

# engine_options "$@": reads --runtime and --shim (or what the lane calls its supervisor, in
# $supervisor_option) into $runtime and $supervisor; --only into $only.
engine_options() {
    runtime='' supervisor='' only=''
    while (($#)); do
        case $1 in
            --help) usage; exit 0 ;;
            --runtime | --only | "$supervisor_option")
                (($# >= 2)) || { echo "$lane_name: $1 needs a value; see --help" >&2; exit 2; }
                case $1 in
                    --runtime) runtime=$2 ;;
                    --only) only=$2 ;;
                    *) supervisor=$2 ;;
                esac
                shift 2
                ;;
            *) echo "$lane_name: unknown argument '$1'; see --help" >&2; exit 2 ;;
        esac
    done
}

# program NAME-OR-PATH: its absolute path.
program() {
    local path
    path=$(type -P "$1") || fail "there is no program $1"
    realpath --no-symlinks -- "$path"
}

# default_programs: windlass as built here, where --runtime and $supervisor_option don't say otherwise.
default_programs() {
    if [[ ! $runtime || ! $supervisor ]]; then
        build debug windlass windlass-shim || exit
        runtime=${runtime:-$(built debug)/windlass}
        supervisor=${supervisor:-$(built debug)/windlass-shim}
    fi
    runtime=$(program "$runtime") && supervisor=$(program "$supervisor") || exit
}

# --- the outer run ------------------------------------------------------------------------------

# The mount points of the hierarchies of cgroups that have a use: "POINT OPTIONS" a line.
hierarchies() {
    awk '$3 ~ /^cgroup2?$/ { print $3, $2, $4 }' /proc/self/mounts |
        while read -r kind point options; do
            if [[ $kind == cgroup2 ]]; then
                echo "$point cgroup2"
            else
                # What is left of the options is the controllers, or the name, of this hierarchy.
                echo "$point $(tr , '\n' <<<"$options" | grep -vxE 'rw|ro|nosuid|nodev|noexec|relatime|noatime|xattr|clone_children|release_agent=.*|nsroot=.*' | paste -sd,)"
            fi
        done
}

# make_cgroup DIRECTORY
make_cgroup() {
    mkdir -p "$1"
    if [[ -e $1/cpuset.mems && ! -e $1/cgroup.controllers ]]; then
        # Nothing can enter a cpuset of version 1 without processors and memory.
        cat "$1/../cpuset.cpus" >"$1/cpuset.cpus"
        cat "$1/../cpuset.mems" >"$1/cpuset.mems"
    fi
}

# enter_cgroup CGROUP: with this shell, in every hierarchy.
enter_cgroup() {
    local point
    for point in "${points[@]}"; do echo "$BASHPID" >"$point/$1/cgroup.procs"; done
}

# in_private_place "$@": runs this script again, with the same arguments, as said above; returns only
# in there.
in_private_place() {
    [[ ! ${WINDLASS_LANE-} ]] || { lane_root=$WINDLASS_LANE; settle; return; }
    local cgroup=windlass-engine.$$ point status
    lane_root=$(mktemp -d "${TMPDIR:-/tmp}/windlass-$lane_name.XXXXXX")
    local points
    mapfile -t points < <(hierarchies | cut -d' ' -f1)
    for point in "${points[@]}"; do
        make_cgroup "$point/$cgroup" && make_cgroup "$point/$cgroup/processes"
        if [[ -e $point/cgroup.controllers ]]; then
            for controller in $(<"$point/cgroup.controllers"); do
                # One at a time: v1 hierarchies may hold some of them.
                echo "+$controller" >"$point/cgroup.subtree_control"
            done 2>/dev/null
        fi
    done
    (
        enter_cgroup "$cgroup"
        # The root of the namespace is where its first process is. On cgroup v2 a root that has limits
        # for its children may have no processes, so all go one further down; not into a cgroup that
        # engines make as well, such as containerd's for the namespace `lane`.
        WINDLASS_LANE=$lane_root exec unshare --cgroup -- bash -c '
            points=() script=$1 cgroup=$2
            shift 2
            while [[ $1 != -- ]]; do points+=("$1"); shift; done
            for point in "${points[@]}"; do echo $$ >"$point/$cgroup/processes/cgroup.procs"; done
            shift
            exec unshare --mount --net --ipc --pid --fork --kill-child --mount-proc --propagation private -- \
                "$script" "$@"' - "$lane_script" "$cgroup" "${points[@]}" -- "$@"
    )
    status=$?
    while read -r point _; do
        # Processes that have been killed leave their cgroup with a delay.
        for _ in {1..50}; do
            [[ ! -d $point/$cgroup ]] && break
            find "$point/$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.1
        done
    done < <(hierarchies)
    rmdir -- "$lane_root"
    exit "$status"
}

# --- the inner run ------------------------------------------------------------------------------

# settle: furnishes the namespaces.
settle() {
    local point options kept=()
    mount -t tmpfs -o mode=0755 tmpfs "$lane_root"
    mount -t tmpfs -o mode=0755 tmpfs /run
    mkdir -p "$lane_root"/{bin,log} /run/lock
    mkfifo "$lane_root/silence"
    ip link set lo up
    mapfile -t kept < <(hierarchies)
    umount --recursive --lazy /sys/fs/cgroup
    mount -t tmpfs -o mode=0755 tmpfs /sys/fs/cgroup
    if [[ ${#kept[@]} == 1 && ${kept[0]} == *cgroup2 ]]; then
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
    else
        for options in "${kept[@]}"; do
            point=${options%% *} options=${options#* }
            mkdir -p "$point"
            if [[ $options == cgroup2 ]]; then
                mount -t cgroup2 cgroup2 "$point"
            else
                mount -t cgroup -o "$options" cgroup "$point"
            fi
        done
    fi
    for controller in $(cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null); do
        echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
    done
    PATH=$lane_root/bin:$PATH
    # conmon 2.1 writes a file into its working directory.
    cd "$lane_root" || exit
    exec </dev/null
    what_is_there >"$lane_root/at-first"
}

# add_users NAME:FIRST:NUMBER...: users of this lane alone, with subordinate ids. The first of them also is in
# /etc/passwd: uid 52001, at home in $home.
add_users() {
    local file
    for file in passwd group subuid subgid; do
        { [[ ! -e /etc/$file ]] || grep -vE "^($(IFS='|'; echo "${*%%:*}")):" "/etc/$file"; } >"$home/$file"
    done
    echo "${1%%:*}:x:52001:52001::$home:/bin/bash" >>"$home/passwd"
    echo "${1%%:*}:x:52001:" >>"$home/group"
    printf '%s\n' "$@" | tee -a "$home/subuid" >>"$home/subgid"
    for file in passwd group subuid subgid; do
        [[ ! -e /etc/$file ]] || mount --bind "$home/$file" "/etc/$file"
    done
    what_is_there >"$lane_root/at-first"
}

# What can be left behind, a line each. Of processes, all but this shell and what it is running now.
what_is_there() {
    awk '{ print "mount", $5 }' /proc/self/mountinfo
    ip -o link | awk '{ print "link", $2 }'
    while read -r point _; do
        find "$point" -mindepth 1 -type d -printf 'cgroup %p\n'
    done < <(hierarchies)
    for directory in /proc/[0-9]*; do
        # A kernel thread, or a zombie, has no command line.
        [[ ${directory#/proc/} -le 1 || ${directory#/proc/} == "$BASHPID" ]] ||
            tr '\0' ' ' 2>/dev/null <"$directory/cmdline" | sed 's/^/process /; s/ *$/\n/'
    done | grep -vE '^process (([^ ]*/)?(bash|sort|comm|grep|sed|tr|find|awk)( |$)|sleep 0\.(05|1)$|$)'
    true
}

passed=0 failed=0

# How many times longer something may take here: with one processor all that an engine starts waits for it.
slowness=1
(($(nproc) > 1)) || slowness=3

# check WORDS FUNCTION [ARGUMENT]...: FUNCTION has to succeed, within $patience seconds; any of its
# commands that fails is its failure. What it did is shown when it fails.
patience=60
check() {
    local words=$1 log=$lane_root/log/check pid status begin=$SECONDS
    shift
    [[ ! $only || $words =~ $only ]] || return 0
    : >"$log"
    set -m
    (
        # The trace is for a failure's reader, and no part of what the commands say.
        exec {BASH_XTRACEFD}>>"$log"
        set -eEuxo pipefail
        "$@"
    ) &>>"$log" </dev/null &
    pid=$!
    set +m
    while kill -0 "$pid" 2>/dev/null; do
        if ((SECONDS - begin > patience * slowness)); then
            echo "more than $((patience * slowness)) seconds" >>"$log"
            kill -KILL -- "-$pid"
        fi
        sleep 0.05
    done
    wait "$pid" &>/dev/null
    status=$?
    if ((status == 0)); then
        passed=$((passed + 1))
        echo "ok      $words"
    else
        failed=$((failed + 1))
        echo "FAILED  $words"
        tail -n "${LANE_LOG_LINES:-25}" "$log" | sed 's/^/        /'
    fi
}

# skip WORDS REASON
skip() {
    [[ ! $only || $1 =~ $only ]] || return 0
    echo "skipped $1: $2"
}

# says EXPECTED COMMAND...: what COMMAND prints on standard output is EXPECTED.
says() {
    local said expected=$1
    shift
    said=$("$@") || { echo "status $? of: $*; it said: $said"; return 1; }
    [[ $said == "$expected" ]] || { echo "'$*' said '$said', not '$expected'"; return 1; }
}

# ends_with STATUS COMMAND...
ends_with() {
    local status=0 expected=$1
    shift
    "$@" || status=$?
    [[ $status == "$expected" ]] || { echo "status $status, not $expected, of: $*"; return 1; }
}

# within SECONDS COMMAND...: COMMAND succeeds at last; on a slow machine later.
within() {
    local limit=$((SECONDS + $1 * slowness))
    shift
    until "$@"; do
        ((SECONDS <= limit)) || { echo "never came true: $*"; return 1; }
        sleep 0.1
    done
}

# ended PID: there is no such process any more.
ended() { ! kill -0 "$1" 2>/dev/null; }

# has_nat: whether this kernel and the tools here can translate addresses, without which engines have no
# networks. A list of what there is says nothing: in a kernel without it, it is empty.
has_nat() {
    if iptables --table nat --new-chain lane &>/dev/null; then
        iptables --table nat --delete-chain lane
    else
        nft 'add table ip lane; add chain ip lane c { type nat hook postrouting priority 0; }' &>/dev/null &&
            nft delete table ip lane
    fi
}

# handles_term PID: whether the process has a handler of SIGTERM by now (proc_pid_status(5), SigCgt). A shell
# that is the first of its pid namespace and has none yet would not even die of it.
handles_term() { ((0x$(awk '$1 == "SigCgt:" { print $2 }' "/proc/$1/status") & 1 << 14)); }

# gives_back TEXT COMMAND...: COMMAND, which is attached to a `cat`, gives back what it is told. It stays
# attached, as $attached.
gives_back() {
    local text=$1 pipe=$lane_root/to-attached
    shift
    mkfifo "$pipe"
    # Opened for both, its input doesn't end.
    "$@" <>"$pipe" >"$lane_root/from-attached" &
    attached=$!
    echo "$text" >"$pipe"
    within 20 grep -qx "$text" "$lane_root/from-attached"
    rm "$pipe"
}

# How many bytes a container writes to each of its streams where none may be lost; fewer on a slow machine.
much=67108864
((slowness == 1)) || much=8388608

# The size of a terminal, for a shell in a container: engines tell it only after the start, and until
# then busybox's stty says nothing and is content.
terminal_size='until stty size 2>/dev/null | grep .; do sleep 0.1; done'

# in_terminal COMMAND...: as in a terminal of 24 lines and 80 columns; its output, without \r.
in_terminal() {
    local line
    printf -v line '%q ' "$@"
    # Its input never ends, since a terminal's end of file is a character that shows.
    script --quiet --return --command "stty rows 24 cols 80; $line" /dev/null <>"$lane_root/silence" | tr -d '\r'
}

# nothing_left: for the last check, when the engine has ended. What the engine itself is known to leave,
# whatever it works with, is the extended regular expression $engine_leaves.
engine_leaves='^$'
nothing_left() { within 5 same_as_at_first || { cat "$lane_root/left"; return 1; }; }
same_as_at_first() {
    comm -13 <(sort "$lane_root/at-first") <(what_is_there | sort) |
        { grep -vE "$engine_leaves" || true; } >"$lane_root/left"
    [[ ! -s $lane_root/left ]]
}

# finish: the last line of a lane.
finish() {
    echo "$passed passed, $failed failed"
    exit $((failed > 0))
}

# make_image FILE [CONFIG]: a docker-archive of busybox, named localhost/busybox:lane, which docker, podman
# and containerd load. CONFIG is merged into its configuration, such as {"Cmd": ["id"], "User": "1000"}.
# Everything in it comes from this machine; what is in $lane_root/image/rootfs already stays in it. Its shell
# is busybox too, or $image_shell with the libraries that it needs.
make_image() {
    local work=$lane_root/image applet layer library
    mkdir -p "$work/rootfs"/{bin,dev,etc,home,proc,root,sys,tmp,var}
    cp "$(program busybox)" "$work/rootfs/bin/busybox"
    for applet in $(busybox --list); do
        # Not symbolic: who masks one of them doesn't mean all.
        [[ $applet == busybox ]] || ln -f "$work/rootfs/bin/busybox" "$work/rootfs/bin/$applet"
    done
    if [[ ${image_shell-} ]]; then
        cp --remove-destination "$image_shell" "$work/rootfs/bin/sh"
        for library in $(ldd "$image_shell" 2>/dev/null | grep -o '/[^ ]*'); do
            mkdir -p "$work/rootfs${library%/*}"
            cp "$library" "$work/rootfs$library"
        done
    fi
    printf 'root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/home:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\nnobody:x:65534:65534::/home:/bin/sh\n' >"$work/rootfs/etc/passwd"
    printf 'root:x:0:\nwww-data:x:33:\nuser:x:1000:\nlane:x:50000:user\nnobody:x:65534:\n' >"$work/rootfs/etc/group"
    chmod 1777 "$work/rootfs/tmp"
    tar -C "$work/rootfs" --owner=0 --group=0 --numeric-owner -cf "$work/layer.tar" .
    layer=$(sha256sum <"$work/layer.tar")
    jq -n --arg layer "sha256:${layer%% *}" --argjson more "${2:-{\}}" '{architecture: "amd64", os: "linux",
        config: ({Env: ["PATH=/bin"], Cmd: ["sh"]} * $more), history: [{created_by: "a lane"}], rootfs: {type: "layers", diff_ids: [$layer]}}' \
        >"$work/config.json"
    jq -n '[{Config: "config.json", RepoTags: ["localhost/busybox:lane"], Layers: ["layer.tar"]}]' \
        >"$work/manifest.json"
    tar -C "$work" -cf "$1" config.json manifest.json layer.tar
    rm -rf -- "$work/layer.tar"
}
