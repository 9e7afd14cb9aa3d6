queens=()
found=0

place() {
    local row=$1 column other distance
    if ((row == 8)); then
        ((found++)) || echo "${queens[*]}"
        return
    fi
    for column in 1 2 3 4 5 6 7 8; do
        for ((other = 0; other < row; other++)); do
            ((distance = queens[other] - column))
            ((distance && distance != row - other && distance != other - row)) || continue 2
        done
        queens[row]=$column
        place $((row + 1))
    done
}

place 0
echo "$found"
