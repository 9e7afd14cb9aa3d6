. ./greeting.sh
greet module
