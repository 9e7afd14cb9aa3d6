# Read by bash before a script (BASH_ENV): `read -p` shows its prompt, which bash itself does on a terminal only.
# The session's standard input stands for the terminal: a file, a here-string or another command's output does not.

# Says in REPLY which pipe or file a descriptor is, without running a program: the inode is fdinfo's last line (proc(5)).
__livecode_identity() {
    local fdinfo lines=()
    REPLY=
    { exec {fdinfo}<"/proc/self/fdinfo/$1"; } 2>/dev/null || return 0
    mapfile -t -u "$fdinfo" lines
    exec {fdinfo}<&-
    REPLY=${lines[-1]-}
}

# Prints the prompt that a call of `read` asks for, where it reads from the session's standard input.
__livecode_prompt() {
    local REPLY OPTIND=1 OPTARG option prompt= input=0
    while getopts :a:d:ei:n:N:p:rst:u: option; do
        case $option in
        p) prompt=$OPTARG ;;
        u) input=$OPTARG ;;
        esac
    done
    [[ -n $prompt && -p /dev/fd/$input ]] || return 0
    __livecode_identity "$input"
    [[ $REPLY != "$LIVECODE_STDIN" ]] || printf '%s' "$prompt" >&2
}

read() {
    [[ $- != *x* ]] || { local -; set +x; } 2>/dev/null # `set -x` shows the script, not this
    [[ $* != *-*p* ]] || __livecode_prompt "$@"
    builtin read "$@"
}

# Scripts that a script starts ask for the same input.
if [[ -z ${LIVECODE_STDIN-} ]]; then
    __livecode_identity 0
    export LIVECODE_STDIN=$REPLY
    unset REPLY
fi
