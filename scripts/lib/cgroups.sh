# shellcheck shell=bash
# Sourced by scripts/bench and scripts/test.

# crun and podman refuse a machine where the unified hierarchy has controllers beside v1
# hierarchies ("cgroups in hybrid mode not supported"). systemd mounts every controller as v1 on
# such a machine; where nobody did, do it. What is mounted stays, as systemd's would.
mount_leftover_v1_controllers() {
    local unified=/sys/fs/cgroup/unified controller
    [[ -r $unified/cgroup.controllers ]] || return 0
    for controller in $(<"$unified/cgroup.controllers"); do
        echo "mounting the cgroup v1 hierarchy $controller, which crun asks for"
        mkdir -p "/sys/fs/cgroup/$controller"
        # A controller that a cgroup below the unified hierarchy has been given can't move.
        mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" && continue
        rmdir "/sys/fs/cgroup/$controller"
        echo "$controller stays with cgroup v2: crun and podman will refuse this machine" >&2
    done
}
