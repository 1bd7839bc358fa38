#!/bin/sh
# The machine's own ps. One process plays the daemons of all demo hosts; here it is this host's, and
# the agents of the machine underneath and of other hosts are not seen.
PATH=${PATH#*:}
listing=$(ps "$@")
status=$?
[ -z "$listing" ] || printf '%s\n' "$listing" | PLAYER=@PLAYER@ DAEMON=@DAEMON@ awk '
    {
        at = index($0, ENVIRON["PLAYER"])
        if (at) {
            before = substr($0, 1, at - 1)
            sub(/[^ ]* *$/, "", before)
            $0 = before ENVIRON["DAEMON"]
        } else if ($0 ~ /\/qualys-cloud-agent( |$)/) {
            next
        }
        print
    }'
exit "$status"
