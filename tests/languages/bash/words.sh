count=0
while read -ra words || [ ${#words[@]} -gt 0 ]; do
    ((count += ${#words[@]}))
done
echo "$count"
