# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_windlass_conformance_global_optspecs
    string join \n runtime= filter= exclude= root= jobs= timeout= big format= strict keep= list explain= h/help V/version
end

function __fish_windlass_conformance_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_windlass_conformance_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_windlass_conformance_using_subcommand
    set -l cmd (__fish_windlass_conformance_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l runtime -d 'The runtime: a path, or a name to look for in PATH' -r -F
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l filter -d 'Only cases whose id matches, or a whole chapter; `*` stands for anything (repeatable)' -r
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l exclude -d 'No cases whose id or chapter matches (repeatable)' -r
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l root -d 'Where bundles and state directories are made (default: below $TMPDIR, else /tmp)' -r -F
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l jobs -d 'How many cases run at a time (default: one more than there are processors)' -r
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l timeout -d 'How long a case may take; one that needs longer by its nature has more' -r
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l format -d 'How results are printed' -r -f -a "text\t'For people'
tap\t'Test Anything Protocol, version 14'
json\t'One JSON document'
junit\t'JUnit\'s XML, as CI servers read it'"
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l keep -d 'Keep each case\'s bundles in DIR, with the calls of the runtime in commands.sh' -r -F
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l explain -d 'Print what one case demands, where that is written, and how to reproduce it by hand' -r
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l big -d 'Run the cases that make very many containers or calls in full (minutes)'
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l strict -d 'Let failures count that are known of this version of the runtime'
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -l list -d 'Print the cases instead: id, level, title'
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -s V -l version -d 'Print version'
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -f -a "compare" -d 'Tests several runtimes and prints what each does of each case'
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -f -a "coverage" -d 'Prints every demand of the specification and the cases that test it'
complete -c windlass-conformance -n "__fish_windlass_conformance_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -l from -d 'Columns that an earlier `compare --json` has written, perhaps on another host (repeatable)' -r -F
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -l filter -d 'Only cases whose id matches, or a whole chapter; `*` stands for anything (repeatable)' -r
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -l exclude -d 'No cases whose id or chapter matches (repeatable)' -r
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -l root -d 'Where bundles and state directories are made (default: below $TMPDIR, else /tmp)' -r -F
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -l jobs -d 'How many cases run at a time (default: one more than there are processors)' -r
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -l timeout -d 'How long a case may take; one that needs longer by its nature has more' -r
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -l big -d 'Run the cases that make very many containers or calls in full (minutes)'
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -l differences -d 'Only the cases in which the runtimes differ'
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -l markdown -d 'Print Markdown, with a note on each failure'
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -l json -d 'Print JSON, which --from takes'
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand compare" -s h -l help -d 'Print help'
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand coverage" -l markdown -d 'Print docs/conformance.md'
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand coverage" -s h -l help -d 'Print help'
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand help; and not __fish_seen_subcommand_from compare coverage help" -f -a "compare" -d 'Tests several runtimes and prints what each does of each case'
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand help; and not __fish_seen_subcommand_from compare coverage help" -f -a "coverage" -d 'Prints every demand of the specification and the cases that test it'
complete -c windlass-conformance -n "__fish_windlass_conformance_using_subcommand help; and not __fish_seen_subcommand_from compare coverage help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
