# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_windlass_img_global_optspecs
    string join \n log= verbose v/version h/help
end

function __fish_windlass_img_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_windlass_img_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_windlass_img_using_subcommand
    set -l cmd (__fish_windlass_img_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c windlass-img -n "__fish_windlass_img_needs_command" -l log -d 'How much to say of what is being done' -r -f -a "fatal\t'Only the error that ends the program'
error\t'The same: errors end the program'
warn\t'What was done other than asked for'
info\t'What was done'
debug\t'The same: there is nothing finer'"
complete -c windlass-img -n "__fish_windlass_img_needs_command" -l verbose -d 'Say what is being done, as --log=info'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -s v -l version -d 'Print version'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "init" -d 'Makes an empty image layout'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "new" -d 'Makes an image without layers, for this machine, in an image layout'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "unpack" -d 'Unpacks an image into an OCI bundle: BUNDLE/rootfs and BUNDLE/config.json'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "repack" -d 'Adds a layer with what has changed in a bundle since it was unpacked to its image'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "config" -d 'Changes an image\'s configuration: how its process runs, who made it, what it is for'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "insert" -d 'Adds a layer with a file or directory of the host to an image, or one that removes a path'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "tag" -d 'Gives an image of the store a further name, or with --image one of a layout a further tag'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "rm" -d 'Removes images from the store, with the blobs that no other image needs; or with --image a tag from a layout, whose blobs gc removes'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "gc" -d 'Removes the blobs of the store, or of an image layout, that no image leads to'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "raw" -d 'Single steps of the other verbs'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "ls" -d 'Lists the tags in an image layout, one a line'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "stat" -d 'Shows an image\'s manifest, configuration and history'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "build" -d 'Builds an image from a Dockerfile, and keeps it in the store'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "build-guard" -d 'Watches over a build: not for people'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "bundle" -d 'Makes a bundle for a container, out of an image of the store'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "unbundle" -d 'Removes bundles that bundle made, with all that their containers wrote'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "mount" -d 'Mounts bundles\' root file systems again: after a reboot, or when somebody unmounted them'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "diff" -d 'Shows what a container has changed of its image, as docker diff does: A for what is new, C for what was changed (or is a directory in which something was), D for what is gone'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "commit" -d 'Makes an image of a bundle: its image, with what the container wrote as a new layer'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "load" -d 'Loads images from a docker-archive (docker save) or an oci-archive into the store, or an image layout'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "copy" -d 'Copies an image between registries, layouts, archives and directories'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "inspect" -d 'Shows what an image is, without fetching its layers'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "sync" -d 'Copies all images of a repository, or of a directory of dir: images, to another registry or directory'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "list-tags" -d 'Lists the tags of a repository, as a JSON object'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "referrers" -d 'Lists what in a repository says that it belongs to an image (signatures, bills of materials), as an image index'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "delete" -d 'Marks an image in a registry for deletion, with all tags that lead to it; or takes a tag out of a layout and removes the blobs that nothing else there needs'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "login" -d 'Logs in to a registry: asks it whether name and password are right, and keeps them for later'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "logout" -d 'Forgets what login kept'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "pull" -d 'Fetches an image from its registry into the store'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "push" -d 'Sends an image of the store to a registry'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "images" -d 'Lists the images of the store, the youngest first'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "untag" -d 'Takes names away from images of the store. The images stay, even without a name, until gc'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "history" -d 'Shows how an image of the store came about, the last step first'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "save" -d 'Writes an image of the store to an archive that docker load, podman load and load read'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "import" -d 'Makes an image of one layer out of a tar file of a root file system, plain or compressed'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "df" -d 'Shows how much the store holds, and how much of it gc would remove'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "verify" -d 'Hashes every blob of the store and names those that are damaged, and those that are missing'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "volume" -d 'Volumes: directories of the store that outlive containers and that several may share'
complete -c windlass-img -n "__fish_windlass_img_needs_command" -f -a "network-hook" -d 'Connects a container, and disconnects it again: bundles have hooks that call this'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand init" -l layout -d 'The layout\'s directory, which must not exist yet, or be empty' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand init" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand new" -l image -d 'The image to make; the tag is \'latest\' unless given. An image that has the tag loses it' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand new" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -l image -d 'The image; the tag is \'latest\' unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -l uid-map -d 'Map the image\'s users to others on the host; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -l gid-map -d 'Map the image\'s groups to others on the host; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -l max-bytes -d 'Refuse an image whose layers are larger than this when uncompressed' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -l max-ratio -d 'Refuse a layer that grows to more than this many times its blob (from 256 MiB on)' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -l max-entries -d 'Refuse a layer with more entries than this' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -l rootless -d 'Work without privileges: every file belongs to the caller, its owner is kept in the attribute user.rootlesscontainers, an empty file stands for a device, and config.json is one that the caller can run (user namespace, no cgroup limits, the host\'s network)'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -l keep-dirlinks -d 'Where a directory entry meets a symbolic link to a directory, keep the link'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -l no-terminal -d 'Write a config.json whose process has no terminal, for a supervisor that uses pipes'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unpack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l image -d 'The layout, and the tag of the new image, \'latest\' unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l mask-path -d 'Leave out changes at and below this path; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l compress -d 'How to compress the new layer; auto: as the image\'s other layers are, or else gzip' -r -f -a "auto\t''
none\t''
gzip\t''
zstd\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l history.author -d 'Who made the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l history.comment -d 'A note about the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l history.created -d 'When the change was made; now unless given, or what SOURCE_DATE_EPOCH says' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l history.created_by -d 'What made the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l no-mask-volumes -d 'Take changes in the image\'s volumes, too'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l refresh-bundle -d 'Make the bundle one of the new image: the next repack takes the changes since now'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -l no-history -d 'Make no entry in the image\'s history'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand repack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l image -d 'The image; the tag is \'latest\' unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l tag -d 'The tag of the changed image, in place of the old one\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l config.user -d 'The user: NAME, UID, NAME:GROUP and so on' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l config.exposedports -d 'Add a port that the image listens on; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l config.env -d 'Set an environment variable; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l config.entrypoint -d 'The program and its first arguments, one each time' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l config.cmd -d 'Further arguments, or the program, one each time' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l config.volume -d 'Add a directory that is to hold data; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l config.label -d 'Add a label; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l config.workingdir -d 'The working directory' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l config.stopsignal -d 'The signal that ends the process' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l created -d 'When the image was made' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l author -d 'Who made the image' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l platform.os -d 'The operating system that it is for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l platform.arch -d 'The CPU that it is for, as Go names it' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l platform.variant -d 'The variant of the CPU' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l manifest.annotation -d 'Add an annotation to the manifest; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l clear -d 'Empty a list first; may be repeated' -r -f -a "config.labels\t''
config.exposedports\t''
config.env\t''
config.volume\t''
config.cmd\t''
config.entrypoint\t''
manifest.annotations\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l history.author -d 'Who made the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l history.comment -d 'A note about the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l history.created -d 'When the change was made; now unless given, or what SOURCE_DATE_EPOCH says' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l history.created_by -d 'What made the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -l no-history -d 'Make no entry in the image\'s history'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l image -d 'The image; the tag is \'latest\' unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l tag -d 'The tag of the changed image, in place of the old one\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l compress -d 'How to compress the new layer; auto: as the image\'s other layers are, or else gzip' -r -f -a "auto\t''
none\t''
gzip\t''
zstd\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l uid-map -d 'Map the image\'s users to others on the host; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l gid-map -d 'Map the image\'s groups to others on the host; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l history.author -d 'Who made the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l history.comment -d 'A note about the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l history.created -d 'When the change was made; now unless given, or what SOURCE_DATE_EPOCH says' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l history.created_by -d 'What made the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l whiteout -d 'Remove the target from the image instead of adding something'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l opaque -d 'Hide all that the layers below have in the target directory'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l rootless -d 'Work without privileges: every file belongs to the caller, its owner is kept in the attribute user.rootlesscontainers, an empty file stands for a device, and config.json is one that the caller can run (user namespace, no cgroup limits, the host\'s network)'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -l no-history -d 'Make no entry in the image\'s history'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand insert" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand tag" -l image -d 'The image in a layout; the tag is \'latest\' unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand tag" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand tag" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand tag" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand tag" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand tag" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand rm" -l image -d 'The image in a layout; the tag is \'latest\' unless given. It is fine if there is none, as with umoci' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand rm" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand rm" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand rm" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand rm" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand rm" -s f -l force -d 'It is fine if there is no such image'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand rm" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand gc" -l layout -d 'The directory of a layout' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand gc" -l store -d 'The store, in its usual place (/var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass) or another' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand gc" -l forget-bundle -d 'Let go what a bundle needs whose file system isn\'t mounted, and won\'t be again' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand gc" -l build-cache -d 'Forget also the steps of builds, which otherwise keep their layers, and what RUN keeps with --mount=type=cache'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand gc" -l nameless -d 'Remove also images that have no name'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and not __fish_seen_subcommand_from add-layer unpack runtime-config mtree-validate" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and not __fish_seen_subcommand_from add-layer unpack runtime-config mtree-validate" -f -a "add-layer" -d 'Puts an uncompressed tar archive on top of an image, as a layer, byte for byte'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and not __fish_seen_subcommand_from add-layer unpack runtime-config mtree-validate" -f -a "unpack" -d 'Unpacks an image\'s root file system into a directory, and nothing else'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and not __fish_seen_subcommand_from add-layer unpack runtime-config mtree-validate" -f -a "runtime-config" -d 'Writes the config.json that a bundle of an image would have'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and not __fish_seen_subcommand_from add-layer unpack runtime-config mtree-validate" -f -a "mtree-validate" -d 'Compares a directory with an mtree manifest, such as that of a bundle'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l image -d 'The image; the tag is \'latest\' unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l tag -d 'The tag of the changed image, in place of the old one\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l compress -d 'How to compress the new layer; auto: as the image\'s other layers are, or else gzip' -r -f -a "auto\t''
none\t''
gzip\t''
zstd\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l history.author -d 'Who made the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l history.comment -d 'A note about the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l history.created -d 'When the change was made; now unless given, or what SOURCE_DATE_EPOCH says' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l history.created_by -d 'What made the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l no-history -d 'Make no entry in the image\'s history'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l image -d 'The image; the tag is \'latest\' unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l uid-map -d 'Map the image\'s users to others on the host; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l gid-map -d 'Map the image\'s groups to others on the host; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l max-bytes -d 'Refuse an image whose layers are larger than this when uncompressed' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l max-ratio -d 'Refuse a layer that grows to more than this many times its blob (from 256 MiB on)' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l max-entries -d 'Refuse a layer with more entries than this' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l rootless -d 'Work without privileges: every file belongs to the caller, its owner is kept in the attribute user.rootlesscontainers, an empty file stands for a device, and config.json is one that the caller can run (user namespace, no cgroup limits, the host\'s network)'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l keep-dirlinks -d 'Where a directory entry meets a symbolic link to a directory, keep the link'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from unpack" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l image -d 'The image; the tag is \'latest\' unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l rootfs -d 'Where the image is unpacked: names of users and groups are looked up in it. Without it, an image whose user has a name gets root\'s numbers, with a warning' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l uid-map -d 'Map the image\'s users to others on the host; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l gid-map -d 'Map the image\'s groups to others on the host; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l rootless -d 'Work without privileges: every file belongs to the caller, its owner is kept in the attribute user.rootlesscontainers, an empty file stands for a device, and config.json is one that the caller can run (user namespace, no cgroup limits, the host\'s network)'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from mtree-validate" -s f -l manifest -d 'The manifest' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from mtree-validate" -s p -l path -d 'The directory' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from mtree-validate" -s k -l use-keywords -d 'Compare these keywords, in place of those that the manifest uses' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from mtree-validate" -s K -l add-keywords -d 'Compare these keywords, too' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from mtree-validate" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from mtree-validate" -l umoci-keywords -d 'Compare the keywords that umoci compares'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from mtree-validate" -l rootless -d 'Does nothing, as it is never needed'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand raw; and __fish_seen_subcommand_from mtree-validate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand ls" -l layout -d 'The layout\'s directory' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand ls" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand stat" -l image -d 'The image; the tag is \'latest\' unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand stat" -l json -d 'Print JSON'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand stat" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -s t -l tag -d 'The image\'s name; may be repeated. Without one, the image is called by its digest, until gc --nameless' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -s f -l file -d 'The Dockerfile [default: CONTEXT/Dockerfile, or else CONTEXT/Containerfile]; \'-\' for standard input' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l build-arg -d 'Set a variable that an ARG declares; without a value, to what it is in our environment. May be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l target -d 'Build this stage instead of the last' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l network -d 'The network of RUN: \'host\' is this host\'s, also called default; \'none\' has only a loopback; \'bridge\' is the standard network of containers, or NAME\'s of the CNI configuration. A RUN\'s own --network comes first' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l add-host -d 'Give an address a name in the /etc/hosts of RUN; \'host-gateway\' is the address at which it reaches this host. May be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l platform -d 'What to build for, where a FROM doesn\'t say [default: this machine]' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l secret -d 'A secret for RUN --mount=type=secret: from a file, or a variable of our environment. May be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l label -d 'Add a label; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l pull -d 'When to fetch the images of FROM from their registry; alone, always' -r -f -a "missing\t'If the store has none of the name'
always\t'Always, so that what the name leads to now is used'
never\t'Not at all'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l runtime -d 'The runtime for RUN: a path, or a name on PATH [default: the windlass beside this program, or else on PATH]' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l iidfile -d 'Write the image\'s digest into a file, too' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l progress -d 'How to show what is going on' -r -f -a "plain\t'A line for each step, and what it prints'
json\t'A JSON object a line, for programs'
none\t'Nothing, not even what steps print'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l compress -d 'How to compress the new layer; auto: as the image\'s other layers are, or else gzip' -r -f -a "auto\t''
none\t''
gzip\t''
zstd\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l no-cache -d 'Carry out every step, whatever the cache has'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -s q -l quiet -d 'Show nothing but the digest, not even what steps print: --progress none'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -l no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand build-guard" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l network -d 'Its network: \'none\' has only a loopback; \'host\' is this host\'s; \'container:ID\' another container\'s, which must exist; \'ns:PATH\' that of a namespace\'s file; \'bridge\' the standard network, or NAME\'s of the CNI configuration [default: bridge if a port is published, otherwise none; with --rootless host]' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -s p -l publish -d 'Make a port of the container one of this host, all of whose addresses are meant unless IP is given. A free one is chosen, and printed, where HOST is left out or 0. Ranges are FIRST-LAST. PROTOCOL is tcp (default), udp or sctp' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l dns -d 'A name server, in place of this host\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l dns-search -d 'A domain in which names are looked for, in place of this host\'s; \'.\' for none' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l dns-option -d 'An option of resolv.conf(5), in place of this host\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l add-host -d 'Give an address a name in /etc/hosts; \'host-gateway\' is the address at which the container reaches this host' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l cni-conf -d 'Where bridge networks are described: a file, whose network is taken whatever its name, or a directory [default: /etc/cni/net.d]' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l cni-bin -d 'Where the CNI plugins are [default: $CNI_PATH, or /usr/lib/cni, /usr/libexec/cni and /opt/cni/bin]' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l runtime -d 'For container:ID: the runtime that has it [default: windlass]' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l runtime-root -d 'For container:ID: the runtime\'s --root' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l uid-map -d 'Map the image\'s users to others on the host; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l gid-map -d 'Map the image\'s groups to others on the host; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l max-bytes -d 'Refuse an image whose layers are larger than this when uncompressed' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l max-ratio -d 'Refuse a layer that grows to more than this many times its blob (from 256 MiB on)' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l max-entries -d 'Refuse a layer with more entries than this' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l entrypoint -d 'The program in the place of the image\'s ENTRYPOINT, whose CMD then goes too; \'\' for none' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -s e -l env -d 'A variable; without =VALUE the caller\'s own value, and if he has none, the image\'s goes. May be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l env-file -d 'Variables from a file, one a line; # begins a comment. --env comes after it' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -s u -l user -d 'Who runs it: names of the image\'s /etc/passwd and /etc/group, or numbers' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l group-add -d 'A further group that it is in: a name of the image\'s /etc/group, or a number. May be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -s w -l workdir -d 'The directory where it begins; made if it isn\'t there' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l hostname -d 'The container\'s host name; the beginning of the bundle\'s id unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l mount -d 'A mount, such as type=bind,source=/srv,target=/srv,readonly; the types are bind, volume and tmpfs, the keys Docker\'s. May be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -s v -l volume -d 'A volume or a path of the host, which must be there. Without one, a volume of the container\'s own. OPTIONS are ro, rw, nocopy, rshared, rslave and so on. May be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l tmpfs -d 'Memory at a path, with options such as size=64m,mode=1777,exec. May be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l shm-size -d 'The size of /dev/shm' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l memory -d 'The most memory, such as 512m; as much again of swap, unless --memory-swap is given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l memory-swap -d 'The most memory and swap together; -1 for as much swap as there is' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l cpus -d 'How many processors\' time, such as 1.5' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l pids-limit -d 'The most processes and threads; -1 for no limit' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l ulimit -d 'A limit such as nofile=1024:4096; -1 is unlimited. May be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l cap-add -d 'A capability more than Docker\'s default ones, such as NET_ADMIN, or ALL; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l cap-drop -d 'A capability less, or ALL; may be repeated. What --cap-add names remains' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l seccomp -d 'Which system calls are allowed: a profile as Docker\'s or as in config.json (JSON), or \'unconfined\' for all of them; Docker\'s default profile unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l device -d 'A device of the host, or all in a directory; ACCESS is r, w and m (mknod), rwm unless given. May be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l sysctl -d 'A setting of the container\'s namespaces, such as net.ipv4.ip_forward=1; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -s l -l label -d 'A note, kept as an annotation of config.json beside the image\'s labels; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l flat -d 'Unpack the image into DIR/rootfs instead of mounting its layers: slower and larger, and works without root (with --rootless) and on any file system'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l rootless -d 'Work without privileges: every file belongs to the caller, its owner is kept in the attribute user.rootlesscontainers, an empty file stands for a device, and config.json is one that the caller can run (user namespace, no cgroup limits, the host\'s network)'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l keep-dirlinks -d 'Where a directory entry meets a symbolic link to a directory, keep the link'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -s t -l tty -d 'It has a terminal instead of pipes'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l no-new-privileges -d 'It gets no rights from set-user-ID programs and file capabilities'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l read-only -d 'Nothing can be written to the image\'s files; volumes and other mounts stay as they are'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -l privileged -d 'Everything that its caller may do: all capabilities and devices, no filter, no masks'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand bundle" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unbundle" -s v -l volumes -d 'Remove their volumes too, as far as nobody has named them and no other bundle uses them'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand unbundle" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand mount" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand mount" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand diff" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand diff" -l json -d 'A JSON object for programs: lists of paths by "added", "changed" and "deleted"'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand commit" -s a -l author -d 'Who made the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand commit" -s m -l message -d 'A note about the change' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand commit" -s c -l change -d 'Change the image\'s configuration by an instruction of a Dockerfile; may be repeated: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand commit" -s p -l pause -d 'Whether to pause the container, if it runs, so that nothing changes meanwhile' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand commit" -l compress -d 'How to compress the new layer; auto: as the image\'s other layers are, or else gzip' -r -f -a "auto\t''
none\t''
gzip\t''
zstd\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand commit" -l runtime -d 'The runtime that runs the container: windlass unless given, or another with runc\'s command line' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand commit" -l runtime-root -d 'The runtime\'s --root' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand commit" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand commit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand load" -s i -l input -d 'The archive; standard input unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand load" -l layout -d 'The directory of a layout to load into, in place of the store' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand load" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand load" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand load" -l tag -d 'The name (in a layout: the tag) to give the archive\'s one image. Unless given: the archive\'s own names; in a layout its tags, \'latest\' if there is none, but the whole names where a docker-archive holds several images' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand load" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l multi-arch -d 'Which images of an index to copy' -r -f -a "system\t'The image for this machine'
all\t'The index and all of its images'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -s f -l format -d 'The form of the manifest at the destination: as it is unless given, and unless the destination takes only one' -r -f -a "oci\t'image-spec\'s'
v2s2\t'Docker\'s schema 2'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l digestfile -d 'Write the digest of the image at the destination to a file' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l chunk-size -d 'Upload blobs in requests of so many bytes, not in one' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l progress -d 'How to show what is going on' -r -f -a "auto\t'Bars on a terminal, otherwise plain lines'
plain\t'A line for each thing done'
json\t'A JSON object a line, for programs'
none\t'Nothing'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l override-os -d 'The operating system of the image, as Go names it, in place of this machine\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l override-arch -d 'The CPU of the image, as Go names it, in place of this machine\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l override-variant -d 'The variant of the CPU' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l authfile -d 'A file of credentials for both' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l tls-verify -d 'Whether both have to speak https with a certificate that we trust' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l src-authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l src-cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l src-creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l src-username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l src-password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l src-registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l src-tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l dest-authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l dest-cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l dest-creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l dest-username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l dest-password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l dest-registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l dest-tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -s a -l all -d 'All images of an index, not the one for this machine'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l preserve-digests -d 'Fail rather than change the image\'s digest'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -s q -l quiet -d 'Show nothing: --progress none'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l src-no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -l dest-no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand copy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -s f -l format -d 'What to show of it, as one of Go\'s templates: {{.FIELD}}, {{json .}}, {{index . KEY}}, {{join . TEXT}}, {{println .}}, {{range .}}…{{end}}; \'json\' for all of it in one line' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l override-os -d 'The operating system of the image, as Go names it, in place of this machine\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l override-arch -d 'The CPU of the image, as Go names it, in place of this machine\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l override-variant -d 'The variant of the CPU' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l raw -d 'The manifest or index as it is, byte for byte; with --config, the configuration'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l config -d 'The image\'s configuration'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -s n -l no-tags -d 'Don\'t ask the registry for the repository\'s other tags'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -l no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -s s -l src -d 'Where SOURCE is' -r -f -a "docker\t'A registry'
dir\t'A directory of dir: images'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -s d -l dest -d 'Where DESTINATION is' -r -f -a "docker\t'A registry'
dir\t'A directory of dir: images'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -s f -l format -d 'The form of the manifests at the destination: as they are unless given' -r -f -a "oci\t'image-spec\'s'
v2s2\t'Docker\'s schema 2'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l progress -d 'How to show what is going on' -r -f -a "auto\t'Bars on a terminal, otherwise plain lines'
plain\t'A line for each thing done'
json\t'A JSON object a line, for programs'
none\t'Nothing'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l override-os -d 'The operating system of the image, as Go names it, in place of this machine\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l override-arch -d 'The CPU of the image, as Go names it, in place of this machine\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l override-variant -d 'The variant of the CPU' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l authfile -d 'A file of credentials for both' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l tls-verify -d 'Whether both have to speak https with a certificate that we trust' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l src-authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l src-cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l src-creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l src-username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l src-password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l src-registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l src-tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l dest-authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l dest-cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l dest-creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l dest-username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l dest-password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l dest-registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l dest-tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l scoped -d 'Call images as the whole of their names at the source'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -s a -l all -d 'All images of an index, not the one for this machine'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l preserve-digests -d 'Fail rather than change an image\'s digest'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l keep-going -d 'Go on with the others when an image can\'t be copied; fail at the end'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l dry-run -d 'Say what would be copied, and copy nothing'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l src-no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -l dest-no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand sync" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -l no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand list-tags" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l artifact-type -d 'Only those of this type' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -l no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand referrers" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -l no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -s u -l username -d 'The user\'s name; asked for unless given' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -s p -l password -d 'The password. Others can see the command line: --password-stdin is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -l authfile -d 'The file to keep them in ($REGISTRY_AUTH_FILE or containers\' auth.json unless given)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -l cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -l tls-verify -d 'Whether the registry has to speak https with a certificate that we trust' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -l password-stdin -d 'Read the password from standard input'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -l get-login -d 'Say who is logged in, and change nothing'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand login" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand logout" -l authfile -d 'The file that they are kept in ($REGISTRY_AUTH_FILE or containers\' auth.json unless given)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand logout" -s a -l all -d 'Forget all that the file keeps'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand logout" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l progress -d 'How to show what is going on' -r -f -a "auto\t'Bars on a terminal, otherwise plain lines'
plain\t'A line for each thing done'
json\t'A JSON object a line, for programs'
none\t'Nothing'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l override-os -d 'The operating system of the image, as Go names it, in place of this machine\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l override-arch -d 'The CPU of the image, as Go names it, in place of this machine\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l override-variant -d 'The variant of the CPU' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -s a -l all -d 'All images of an index, not the one for this machine'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l unpack -d 'Unpack the layers too, each while others still come: bundle then has nothing left to do'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -s q -l quiet -d 'Show nothing: --progress none'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -l no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -s f -l format -d 'The form of the manifest in the registry; as it is unless given' -r -f -a "oci\t'image-spec\'s'
v2s2\t'Docker\'s schema 2'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l digestfile -d 'Write the digest of the image in the registry to a file' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l chunk-size -d 'Upload blobs in requests of so many bytes, not in one' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l progress -d 'How to show what is going on' -r -f -a "auto\t'Bars on a terminal, otherwise plain lines'
plain\t'A line for each thing done'
json\t'A JSON object a line, for programs'
none\t'Nothing'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l authfile -d 'A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers\' auth.json, ~/.docker/config.json)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l cert-dir -d 'A directory of certificates (*.crt, *.cert, *.key) in place of certs.d' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l creds -d 'Who to log in as. Others can see the command line: login is safer' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l username -d 'Who to log in as' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l password -d 'The password of that user' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l registry-token -d 'The bearer token to show' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l tls-verify -d 'Whether the registry has to speak https with a certificate that we trust (default: yes, unless registries.conf calls it insecure)' -r -f -a "true\t''
false\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -s a -l all -d 'All images of an index; they have to be in the store (pull --all)'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -s q -l quiet -d 'Show nothing: --progress none'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -l no-creds -d 'Log in as nobody, whatever the files say'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand push" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand images" -l format -d 'A line for each, as inspect --format writes it, of the fields that --json has' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand images" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand images" -l json -d 'A JSON array, for programs'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand images" -l no-trunc -d 'Whole digests'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand images" -s q -l quiet -d 'The images\' digests alone'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand images" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand untag" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand untag" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand untag" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand untag" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand untag" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand history" -l format -d 'A line for each, as inspect --format writes it, of the fields that --json has' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand history" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand history" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand history" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand history" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand history" -l json -d 'A JSON array, for programs'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand history" -l no-trunc -d 'Commands and comments in full length'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand history" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand save" -s o -l output -d 'The archive' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand save" -l format -d 'The kind of archive' -r -f -a "docker-archive\t'What docker save wrote until version 25; it is uncompressed'
oci-archive\t'A tarred image layout'"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand save" -l override-os -d 'The operating system of the image, as Go names it, in place of this machine\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand save" -l override-arch -d 'The CPU of the image, as Go names it, in place of this machine\'s' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand save" -l override-variant -d 'The variant of the CPU' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand save" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand save" -l retry-times -d 'How often a request is tried again that failed in a way that may pass. Each wait is twice as long as the one before, and as long as the registry asks for' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand save" -l idle-timeout -d 'Give up on a connection that is silent for so long' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand save" -l registries-conf -d 'The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and /etc/containers/ (short names, mirrors, insecure and blocked registries)' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand save" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand import" -s m -l message -d 'A note about where it comes from, for the image\'s history' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand import" -s c -l change -d 'Change the image\'s configuration by an instruction of a Dockerfile; may be repeated: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand import" -l compress -d 'How to compress the new layer; auto: as the image\'s other layers are, or else gzip' -r -f -a "auto\t''
none\t''
gzip\t''
zstd\t''"
complete -c windlass-img -n "__fish_windlass_img_using_subcommand import" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand import" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand df" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand df" -l json -d 'A JSON object, in bytes, for programs'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand df" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand verify" -l max-memory -d 'Refuse what takes more memory than this: a zstd layer\'s window, some 10 bytes for each file in a directory of the layers below, some 20 for each file that is looked up in a bundle\'s mtree manifest, the paths of what has changed and of hard links. All else takes less than 28 MiB' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand verify" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand verify" -l remove -d 'Remove damaged blobs, so that the next pull of their images fetches them again'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand verify" -l layers -d 'Compare unpacked layers too, which takes as long as unpacking them once more. With --remove, those that differ go, unless a bundle has them; they are unpacked anew when they are needed'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and not __fish_seen_subcommand_from create ls inspect rm prune" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and not __fish_seen_subcommand_from create ls inspect rm prune" -f -a "create" -d 'Makes a volume and prints its name. It is fine if it is there already; then its labels stay'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and not __fish_seen_subcommand_from create ls inspect rm prune" -f -a "ls" -d 'Lists the volumes and how many bundles use each'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and not __fish_seen_subcommand_from create ls inspect rm prune" -f -a "inspect" -d 'Describes volumes: a JSON array, with Docker\'s keys and the bundles that use each'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and not __fish_seen_subcommand_from create ls inspect rm prune" -f -a "rm" -d 'Removes volumes and what is in them. One that a bundle uses stays'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and not __fish_seen_subcommand_from create ls inspect rm prune" -f -a "prune" -d 'Removes volumes that no bundle uses and that nobody has named'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from create" -s l -l label -d 'A note about the volume; may be repeated' -r
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from create" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from ls" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from ls" -l json -d 'A JSON array, for programs'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'The volumes\' names alone'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from inspect" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from rm" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from rm" -s f -l force -d 'It is fine if there is no such volume'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from prune" -l store -d 'The store\'s directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass, unless given' -r -F
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from prune" -s a -l all -d 'Volumes with names too'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand volume; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand network-hook; and not __fish_seen_subcommand_from attach detach joined" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand network-hook; and not __fish_seen_subcommand_from attach detach joined" -f -a "attach" -d 'createRuntime: attach the container of the state on standard input'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand network-hook; and not __fish_seen_subcommand_from attach detach joined" -f -a "detach" -d 'poststop: detach it'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand network-hook; and not __fish_seen_subcommand_from attach detach joined" -f -a "joined" -d 'createRuntime: refuse it unless it has joined the network of the process that was meant'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand network-hook; and __fish_seen_subcommand_from attach" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand network-hook; and __fish_seen_subcommand_from detach" -s h -l help -d 'Print help'
complete -c windlass-img -n "__fish_windlass_img_using_subcommand network-hook; and __fish_seen_subcommand_from joined" -s h -l help -d 'Print help'
