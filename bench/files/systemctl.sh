#!/bin/sh
# systemctl of a host that knows one unit; nothing is started for an answer, so that the benchmark measures no shell.
verb= wanted= state=@STATE@ enabled=@ENABLED@
for word; do
    case "$word" in
        --property=*) wanted=${word#*=} ;;
        -*) ;;
        *) [ -n "$verb" ] || verb=$word ;;
    esac
done
case "$verb" in
    is-active) echo "$state"; [ "$state" = active ]; exit ;;
    is-enabled) echo "$enabled"; [ "$enabled" = enabled ]; exit ;;
    show) ;;
    *) echo "systemctl $verb: this host has no units to change." >&2; exit 1 ;;
esac
set -- @PROPERTIES@
for line; do
    case ",${wanted:-${line%%=*}}," in *",${line%%=*},"*) printf '%s\n' "$line" ;; esac
done
