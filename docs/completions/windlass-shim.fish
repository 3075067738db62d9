# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_windlass_shim_global_optspecs
    string join \n state= h/help V/version
end

function __fish_windlass_shim_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_windlass_shim_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_windlass_shim_using_subcommand
    set -l cmd (__fish_windlass_shim_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -s V -l version -d 'Print version'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "run" -d 'Run a container from a bundle'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "attach" -d 'Join this terminal to a running container'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "logs" -d 'Print what a container has written: its standard output to ours, its standard error to ours'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "wait" -d 'Wait for a container to end; print its exit status and return it'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "stop" -d 'End a container: send it a signal, and KILL if it is still there after a time'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "kill" -d 'Send a signal to a container (through the runtime\'s kill)'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "inspect" -d 'Print all that is known of a container, as JSON'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "ps" -d 'List the containers that have a record'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "list" -d 'List the containers that have a record'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "rotate" -d 'Rotate a container\'s log now'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "rm" -d 'Remove a container that has ended: its record, and what the runtime still has of it'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "delete" -d 'Remove a container that has ended: its record, and what the runtime still has of it'
complete -c windlass-shim -n "__fish_windlass_shim_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l runtime -d 'The runtime: a path, or a name on PATH [default: the windlass beside this program, or else on PATH]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l root -d 'The runtime\'s own --root' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l runtime-arg -d 'A further global option for the runtime; may be repeated' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l restart -d 'Start the container again when it has ended: no, on-failure (its status is not 0), on-failure:N (at most N times), always, unless-stopped. The first pause is 100 ms, every further one twice as long, up to a minute; a run of 10 s makes it short again. stop, and kill with a signal that is meant to end it (TERM, KILL, INT, QUIT), end it for good. Nothing starts it when the machine does, so always and unless-stopped are the same' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l log -d 'Append the output to this file. With -d the default is a file in the state directory, in the foreground there is no log by default' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l log-driver -d 'Where the output goes: k8s-file (the default) is one record a line, TIME STREAM F|P LINE, as the kubelet and conmon have it; json-file is Docker\'s, for text only; journald is systemd\'s journal; none is nothing' -r -f -a "k8s-file\t''
json-file\t''
journald\t''
none\t''"
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l log-max-size -d 'Rotate the file before it becomes larger than this: bytes, or with k, m or g behind it (1024 each). LOG becomes LOG.1, LOG.1 becomes LOG.2 …' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l log-max-files -d 'How many rotated files are kept; 0: the file is begun anew' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l log-rate -d 'How much the container may write a second: 2m (bytes), 500lines. It is held back if it writes faster' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l log-burst -d 'How much it may write at once before the rate counts [default: as much as in a second]' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l log-tag -d 'For journald: CONTAINER_TAG and SYSLOG_IDENTIFIER' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l log-label -d 'For journald: a further field, in capital letters, digits and _; may be repeated' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l health-cmd -d 'Execute `/bin/sh -c COMMAND` in the container now and then, with the environment, directory and user of its program: status 0 means that it is healthy. ps and inspect say what came of it, with the last five checks and 4 kB of what each said' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l health-interval -d 'The pause before the first check, and after each, such as 1m30s or 500ms' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l health-timeout -d 'After how long a check is killed, and has failed' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l health-retries -d 'How many checks have to fail, one after the other, until the container is unhealthy' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l health-start-period -d 'How long the failures of a container that has not been healthy yet don\'t count' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l health-on-failure -d 'What becomes of a container that is unhealthy. One that is killed has failed, so that --restart may start it again' -r -f -a "none\t'It runs on'
kill\t'It is killed'"
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -s b -l bundle -d 'The bundle: the directory with config.json' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -s d -l detach -d 'Return once the container\'s program has been started, and print nothing'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -s t -l tty -d 'The container has a terminal (config.json must say so too: process.terminal). In the foreground ours becomes raw and its size is passed on; ctrl-p ctrl-q leaves the container running'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l no-stdin -d 'The container\'s standard input is /dev/null. Otherwise it is a pipe that stays open until a foreground run\'s, or an attached client\'s, standard input ends'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l keep -d 'Leave the stopped container to windlass-shim rm, instead of having the runtime delete it at once'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l rm -d 'Remove the record when the container has ended'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l log-compress -d 'Compress rotated files: LOG.1.gz …'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -l log-drop -d 'Drop lines above the rate from the log, which says how many, instead of holding the container back'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand attach" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand attach" -l no-stdin -d 'Only watch: pass no input on'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand attach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand logs" -s n -l tail -d 'Begin with the last N lines' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand logs" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand logs" -s f -l follow -d 'Go on until the container has ended'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand logs" -s t -l timestamps -d 'Put the time in front of each line'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand wait" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand stop" -s t -l time -d 'How long it has before KILL, in seconds' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand stop" -s s -l signal -d 'The signal that tells it to end' -r
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand stop" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand kill" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand kill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand inspect" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand ps" -l format -d 'How to print them; json is one object a line, as in state.json, with "supervised" added' -r -f -a "table\t''
json\t''"
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand ps" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand ps" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand list" -l format -d 'How to print them; json is one object a line, as in state.json, with "supervised" added' -r -f -a "table\t''
json\t''"
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand list" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand rotate" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand rotate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand rm" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand rm" -s f -l force -d 'Kill the container first if it runs, also if its supervisor or its runtime was killed; a container that is not there is no error'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand delete" -l state -d 'Where the containers\' records are kept [default: /run/windlass-shim, or for other users than root $XDG_RUNTIME_DIR/windlass-shim]' -r -F
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand delete" -s f -l force -d 'Kill the container first if it runs, also if its supervisor or its runtime was killed; a container that is not there is no error'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "run" -d 'Run a container from a bundle'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "attach" -d 'Join this terminal to a running container'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "logs" -d 'Print what a container has written: its standard output to ours, its standard error to ours'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "wait" -d 'Wait for a container to end; print its exit status and return it'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "stop" -d 'End a container: send it a signal, and KILL if it is still there after a time'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "kill" -d 'Send a signal to a container (through the runtime\'s kill)'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "inspect" -d 'Print all that is known of a container, as JSON'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "ps" -d 'List the containers that have a record'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "rotate" -d 'Rotate a container\'s log now'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "rm" -d 'Remove a container that has ended: its record, and what the runtime still has of it'
complete -c windlass-shim -n "__fish_windlass_shim_using_subcommand help; and not __fish_seen_subcommand_from run attach logs wait stop kill inspect ps rotate rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
