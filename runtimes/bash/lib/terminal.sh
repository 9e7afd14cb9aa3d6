# Read by bash before a script: `read -p` shows its prompt, which bash itself does on a terminal only.
read() {
    # Names that no script's own variables have: what is read is assigned in this function's scope first.
    local __livecode_word __livecode_prompt= __livecode_next=
    for __livecode_word in "$@"; do
        if [[ -n $__livecode_next ]]; then
            __livecode_prompt=$__livecode_word
            break
        fi
        case $__livecode_word in
        -p | -[!-]*p) __livecode_next=1 ;;
        -p?*) __livecode_prompt=${__livecode_word#-p} && break ;;
        esac
    done
    if [[ -n $__livecode_prompt && -p /dev/stdin ]]; then
        printf '%s' "$__livecode_prompt" >&2
    fi
    builtin read "$@"
}
