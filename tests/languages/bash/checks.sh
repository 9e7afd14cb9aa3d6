fail() {
    set -u
    echo "$no_such_luck" # HERE
}

case $1 in
hello) echo "Hello, World!" ;;
stderr) echo oops >&2 ;;
exit) exit 3 ;;
echo) while IFS= read -r line; do echo "$line"; done ;;
error) fail ;;
process) /bin/echo process ;;
threads)
    for n in 1 2 3 4; do echo "$n" >"$n.result" & done
    wait
    echo $(($(cat 1.result) + $(cat 2.result) + $(cat 3.result) + $(cat 4.result)))
    ;;
lines) for ((n = 1; n <= 100000; n++)); do echo "$n"; done ;;
live)
    echo live
    sleep 60
    ;;
prompt)
    read -rp "name? " name
    echo "hello $name"
    ;;
esac
