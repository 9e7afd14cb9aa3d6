# Bash reads this file before a script (BASH_ENV). It makes `read -p` print its prompt, which bash
# does only on a terminal. The session's standard input counts as the terminal; a file, a
# here-string and another command's output do not.

# Sets REPLY to the identity of the pipe or file behind a descriptor, without starting a program:
# the last line of its fdinfo is the inode (proc(5)).
__livecode_identity() {
    local fdinfo lines=()
    REPLY=
    { exec {fdinfo}<"/proc/self/fdinfo/$1"; } 2>/dev/null || return 0
    mapfile -t -u "$fdinfo" lines
    exec {fdinfo}<&-
    REPLY=${lines[-1]-}
}

# Prints the prompt in the arguments of a call of `read`, if the call reads the session's standard
# input.
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
    [[ $- != *x* ]] || { local -; set +x; } 2>/dev/null # `set -x` must not trace this function
    [[ $* != *-*p* ]] || __livecode_prompt "$@"
    builtin read "$@"
}

# The identity is exported, so that scripts started by this script use the same input.
if [[ -z ${LIVECODE_STDIN-} ]]; then
    __livecode_identity 0
    export LIVECODE_STDIN=$REPLY
    unset REPLY
fi
