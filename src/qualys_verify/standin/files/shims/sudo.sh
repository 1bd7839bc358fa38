#!/bin/sh
# sudo on a demo host: everything there belongs to the one user, so nothing is gained by asking.
target=root
mode=run
while getopts nHSEkbu:p:lv option; do
    case "$option" in
        u) target=$OPTARG ;;
        l) mode=list ;;
        v) mode=validate ;;
        '?') exit 1 ;;
        *) ;; # how to ask for a password, and the like: nobody is asked
    esac
done
shift $((OPTIND - 1))

case "$target" in
    root | "$(id -un)" | "#$(id -u)" | '#0') ;;
    *)
        echo "sudo: unknown user $target" >&2
        exit 1
        ;;
esac
case "$mode" in
    validate) exit 0 ;;
    list)
        if [ $# -eq 0 ]; then
            printf 'User %s may run the following commands on %s:\n' @NAME@ @NAME@
            printf '    (ALL : ALL) NOPASSWD: ALL\n'
            exit 0
        fi
        command -v "$1"
        exit
        ;;
    *) ;;
esac
if [ $# -eq 0 ]; then
    echo 'usage: sudo [-nH] [-u user] command' >&2
    exit 1
fi
case "$1" in
    *=*) exec env "$@" ;; # sudo VARIABLE=value command
    *) ;;
esac
if ! command -v "$1" >/dev/null; then
    echo "sudo: $1: command not found" >&2
    exit 1
fi
exec "$@"
