# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_windlass_global_optspecs
    string join \n h/help v/version debug log= log-format= log-level= root= systemd-cgroup cgroup-manager= rootless=
end

function __fish_windlass_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_windlass_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_windlass_using_subcommand
    set -l cmd (__fish_windlass_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c windlass -n "__fish_windlass_needs_command" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_needs_command" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_needs_command" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_needs_command" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_needs_command" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_needs_command" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_needs_command" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_needs_command" -s v -l version -d 'print the version'
complete -c windlass -n "__fish_windlass_needs_command" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_needs_command" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "check" -d 'say all that is wrong with a bundle\'s config.json'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "checkpoint" -d 'write a running container\'s processes into images, by CRIU'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "create" -d 'create a container, and let it wait for "start"'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "delete" -d 'delete a stopped container and all that was made for it'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "events" -d 'print what a container uses, and that it ran out of memory'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "exec" -d 'run one more process in a container'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "explain" -d 'print what "create" would do for a bundle, step by step, without doing it'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "features" -d 'print what this runtime can do, as JSON (runtime-spec, features.md)'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "kill" -d 'send a signal (default: SIGTERM) to a container\'s first process'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "list" -d 'list the containers that are kept in the given root'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "mounts" -d 'add mounts to a running container, or remove them'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "pause" -d 'suspend all processes of a container'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "ps" -d 'list the processes in a container'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "resume" -d 'let the processes of a paused container go on'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "restore" -d 'bring a container back from a checkpoint, by CRIU'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "run" -d 'create and start a container, and wait for it unless told to detach'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "spec" -d 'write a config.json to start from'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "start" -d 'start the program of a created container'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "state" -d 'print a container\'s state as JSON'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "update" -d 'change the limits of a container'
complete -c windlass -n "__fish_windlass_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c windlass -n "__fish_windlass_using_subcommand check" -s b -l bundle -d 'the bundle: the directory with config.json; default: the current one' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand check" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand check" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand check" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand check" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand check" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand check" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand check" -l json -d 'print the problems as a JSON array'
complete -c windlass -n "__fish_windlass_using_subcommand check" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand check" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand check" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l image-path -d 'where CRIU\'s images are' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l work-path -d 'where CRIU writes its log; default: where the images are' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l parent-path -d 'the images of the dump before, relative to these' -r
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l status-fd -d 'gets a zero byte once --lazy-pages can be asked for' -r
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l page-server -d 'where a page server takes the memory' -r
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l manage-cgroups-mode -d 'what is done about cgroups: soft, full, strict or ignore; default: soft' -r
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l empty-ns -d 'a namespace that is made and left empty; always so for network, the only one known' -r
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l leave-running -d 'leave the container running'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l tcp-established -d 'allow open TCP connections'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l tcp-skip-in-flight -d 'leave out TCP connections that are being made'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l link-remap -d 'give open files without a name one for the time being'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l ext-unix-sk -d 'allow unix sockets with one end outside'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l shell-job -d 'allow a session leader or a terminal outside'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l lazy-pages -d 'bring memory when it is touched (userfaultfd(2))'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l file-locks -d 'allow file locks'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l pre-dump -d 'dump the memory only, and leave the container running'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l auto-dedup -d 'take what is dumped anew out of the parent\'s images'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand checkpoint" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand create" -s b -l bundle -d 'the bundle: the directory with config.json; default: the current one' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand create" -l console-socket -d 'a unix socket to which the other end of the pseudo-terminal is sent' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand create" -l pidfd-socket -d 'a unix socket to which a pidfd of the process is sent' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand create" -l pid-file -d 'write the process id to this file' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand create" -l preserve-fds -d 'pass on n more descriptors, after standard streams and $LISTEN_FDS' -r
complete -c windlass -n "__fish_windlass_using_subcommand create" -l trace -d 'write when each step began and how long it took (Chrome\'s trace event format), also when one fails' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand create" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand create" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand create" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand create" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand create" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand create" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand create" -l no-pivot -d 'change the root without pivot_root(2), for a root on a ramdisk'
complete -c windlass -n "__fish_windlass_using_subcommand create" -l no-new-keyring -d 'keep the caller\'s session keyring'
complete -c windlass -n "__fish_windlass_using_subcommand create" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand create" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand create" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand delete" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand delete" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand delete" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand delete" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand delete" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand delete" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand delete" -s f -l force -d 'end the container (SIGKILL) if it is running, and succeed if there is none'
complete -c windlass -n "__fish_windlass_using_subcommand delete" -l regex -d 'delete all containers whose ids match the regular expression (POSIX extended) given as the id'
complete -c windlass -n "__fish_windlass_using_subcommand delete" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand delete" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand delete" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand events" -l interval -d 'how often, such as 100ms, 5s or 1m30s' -r
complete -c windlass -n "__fish_windlass_using_subcommand events" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand events" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand events" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand events" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand events" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand events" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand events" -l stats -d 'print what is used now, and end'
complete -c windlass -n "__fish_windlass_using_subcommand events" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand events" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand events" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l console-socket -d 'a unix socket to which the other end of the pseudo-terminal is sent' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l pidfd-socket -d 'a unix socket to which a pidfd of the process is sent' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l cwd -d 'the working directory' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -s e -l env -d 'add this to the environment' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -s u -l user -d 'the user, and the group' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -s g -l additional-gids -d 'add a supplementary group' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -s p -l process -d 'take the process from this file: config.json\'s "process"; rights, limits and scheduling that it doesn\'t name are the container\'s' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l pid-file -d 'write the process id to this file' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l process-label -d 'the SELinux label' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l apparmor -d 'the AppArmor profile' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -s c -l cap -d 'add a capability to the bounding, effective and permitted sets' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l preserve-fds -d 'pass on n more descriptors, after standard streams and $LISTEN_FDS' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l cgroup -d 'put the process into a cgroup below the container\'s' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand exec" -s t -l tty -d 'give the process a pseudo-terminal'
complete -c windlass -n "__fish_windlass_using_subcommand exec" -s d -l detach -d 'don\'t wait for the process'
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l no-new-privs -d 'set no_new_privs'
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l ignore-paused -d 'go ahead in a paused container: the process runs when it is resumed'
complete -c windlass -n "__fish_windlass_using_subcommand exec" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand exec" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand explain" -s b -l bundle -d 'the bundle: the directory with config.json; default: the current one' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand explain" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand explain" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand explain" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand explain" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand explain" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand explain" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand explain" -l json -d 'print the steps as JSON'
complete -c windlass -n "__fish_windlass_using_subcommand explain" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand explain" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand explain" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand features" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand features" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand features" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand features" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand features" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand features" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand features" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand features" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand features" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand kill" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand kill" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand kill" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand kill" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand kill" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand kill" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand kill" -s a -l all -d 'signal every process of the container, not its first one only'
complete -c windlass -n "__fish_windlass_using_subcommand kill" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand kill" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand kill" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand list" -s f -l format -d 'table or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand list" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand list" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand list" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand list" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand list" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand list" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand list" -s q -l quiet -d 'print ids only'
complete -c windlass -n "__fish_windlass_using_subcommand list" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand list" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand list" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand mounts" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand mounts" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand mounts" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand mounts" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand mounts" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand mounts" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand mounts" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand mounts" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand mounts" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand pause" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand pause" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand pause" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand pause" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand pause" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand pause" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand pause" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand pause" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand pause" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand ps" -s f -l format -d 'table, or json for the ids alone' -r
complete -c windlass -n "__fish_windlass_using_subcommand ps" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand ps" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand ps" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand ps" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand ps" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand ps" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand ps" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand ps" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand ps" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand resume" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand resume" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand resume" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand resume" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand resume" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand resume" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand resume" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand resume" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand resume" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l console-socket -d 'a unix socket to which the other end of the pseudo-terminal is sent' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l image-path -d 'where CRIU\'s images are' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l work-path -d 'where CRIU writes its log; default: where the images are' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l manage-cgroups-mode -d 'what is done about cgroups: soft, full, strict or ignore; default: soft' -r
complete -c windlass -n "__fish_windlass_using_subcommand restore" -s b -l bundle -d 'the bundle: the directory with config.json; default: the current one' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l pid-file -d 'write the process id to this file' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l empty-ns -d 'a namespace that is made and left empty; always so for network, the only one known' -r
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l lsm-profile -d 'the LSM profile, instead of the one that was dumped' -r
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l lsm-mount-context -d 'the LSM mount context, instead of the one that was dumped' -r
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l tcp-established -d 'allow open TCP connections'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l ext-unix-sk -d 'allow unix sockets with one end outside'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l shell-job -d 'allow a session leader or a terminal outside'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l file-locks -d 'allow file locks'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -s d -l detach -d 'don\'t wait for the container'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l no-subreaper -d 'leave orphans of the container to the system\'s own reaper'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l no-pivot -d 'taken as runc takes it, and of no effect: CRIU changes the root'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l auto-dedup -d 'take what is dumped anew out of the parent\'s images'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l lazy-pages -d 'bring memory when it is touched (userfaultfd(2))'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand restore" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand run" -s b -l bundle -d 'the bundle: the directory with config.json; default: the current one' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand run" -l console-socket -d 'a unix socket to which the other end of the pseudo-terminal is sent' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand run" -l pidfd-socket -d 'a unix socket to which a pidfd of the process is sent' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand run" -l pid-file -d 'write the process id to this file' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand run" -l preserve-fds -d 'pass on n more descriptors, after standard streams and $LISTEN_FDS' -r
complete -c windlass -n "__fish_windlass_using_subcommand run" -l trace -d 'write when each step began and how long it took (Chrome\'s trace event format), also when one fails' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand run" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand run" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand run" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand run" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand run" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand run" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand run" -s d -l detach -d 'don\'t wait for the container'
complete -c windlass -n "__fish_windlass_using_subcommand run" -l keep -d 'don\'t delete the container when it has ended'
complete -c windlass -n "__fish_windlass_using_subcommand run" -l no-subreaper -d 'leave orphans of the container to the system\'s own reaper'
complete -c windlass -n "__fish_windlass_using_subcommand run" -l no-pivot -d 'change the root without pivot_root(2), for a root on a ramdisk'
complete -c windlass -n "__fish_windlass_using_subcommand run" -l no-new-keyring -d 'keep the caller\'s session keyring'
complete -c windlass -n "__fish_windlass_using_subcommand run" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand run" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand run" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand spec" -s b -l bundle -d 'where to write it; default: the current directory' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand spec" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand spec" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand spec" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand spec" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand spec" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand spec" -l rootless -d 'for a container that a user without root\'s rights runs'
complete -c windlass -n "__fish_windlass_using_subcommand spec" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand spec" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand spec" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand start" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand start" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand start" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand start" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand start" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand start" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand start" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand start" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand start" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand state" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand state" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand state" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand state" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand state" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand state" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand state" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand state" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand state" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand update" -s r -l resources -d 'a file with the new limits, - for standard input' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand update" -l blkio-weight -d 'the weight on all block devices, 10 to 1000' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l cpu-period -d 'the period of the quota' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l cpu-quota -d 'the processor time in each period' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l cpu-burst -d 'how much unused time is saved up for later periods' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l cpu-share -d 'the share against other containers' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l cpu-rt-period -d 'the period of the limit of real-time tasks' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l cpu-rt-runtime -d 'the time of real-time tasks in each period' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l cpuset-cpus -d 'the processors to run on: 0-3,7' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l cpuset-mems -d 'the memory nodes to use' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l cpu-idle -d '1: run only when nothing else wants to (SCHED_IDLE)' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l memory -d 'the limit of memory' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l memory-reservation -d 'the soft limit of memory' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l memory-swap -d 'the limit of memory and swap together' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l pids-limit -d 'how many tasks there may be' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l kernel-memory -d 'ignored, with a warning' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l kernel-memory-tcp -d 'limit of the kernel\'s TCP buffers (cgroup v1; else ignored)' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l l3-cache-schema -d 'the L3 cache\'s line of the container\'s resctrl group' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l mem-bw-schema -d 'the memory bandwidth\'s line of the container\'s resctrl group' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l log -d 'write messages to this file, or with journald:NAME or syslog:NAME to the host\'s log; errors go to standard error too' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand update" -l log-format -d 'the form of messages: text or json' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l log-level -d 'the least that is written: error, warning or debug (default: warning, or debug with --debug)' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l root -d 'where containers are kept (default: /run/windlass, or $XDG_RUNTIME_DIR/windlass without root\'s rights)' -r -F
complete -c windlass -n "__fish_windlass_using_subcommand update" -l cgroup-manager -d 'who makes the cgroups: cgroupfs (the runtime itself), systemd (as --systemd-cgroup), or disabled (the container stays in the caller\'s)' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -l rootless -d 'ignore cgroup permission errors: true, false or auto' -r
complete -c windlass -n "__fish_windlass_using_subcommand update" -s h -l help -d 'show this help'
complete -c windlass -n "__fish_windlass_using_subcommand update" -l debug -d 'write debug messages as well'
complete -c windlass -n "__fish_windlass_using_subcommand update" -l systemd-cgroup -d 'let systemd make the cgroups; cgroupsPath is then slice:prefix:name'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "check" -d 'say all that is wrong with a bundle\'s config.json'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "checkpoint" -d 'write a running container\'s processes into images, by CRIU'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "create" -d 'create a container, and let it wait for "start"'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "delete" -d 'delete a stopped container and all that was made for it'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "events" -d 'print what a container uses, and that it ran out of memory'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "exec" -d 'run one more process in a container'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "explain" -d 'print what "create" would do for a bundle, step by step, without doing it'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "features" -d 'print what this runtime can do, as JSON (runtime-spec, features.md)'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "kill" -d 'send a signal (default: SIGTERM) to a container\'s first process'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "list" -d 'list the containers that are kept in the given root'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "mounts" -d 'add mounts to a running container, or remove them'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "pause" -d 'suspend all processes of a container'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "ps" -d 'list the processes in a container'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "resume" -d 'let the processes of a paused container go on'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "restore" -d 'bring a container back from a checkpoint, by CRIU'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "run" -d 'create and start a container, and wait for it unless told to detach'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "spec" -d 'write a config.json to start from'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "start" -d 'start the program of a created container'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "state" -d 'print a container\'s state as JSON'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "update" -d 'change the limits of a container'
complete -c windlass -n "__fish_windlass_using_subcommand help; and not __fish_seen_subcommand_from check checkpoint create delete events exec explain features kill list mounts pause ps resume restore run spec start state update help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
