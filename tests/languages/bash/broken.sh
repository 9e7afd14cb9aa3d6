if true; then
    echo never ) # HERE
fi
