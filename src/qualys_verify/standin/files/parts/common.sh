umask 077
prefix=@PREFIX@
agent_home=$prefix/usr/local/qualys/cloud-agent
agent_conf=$prefix/etc/qualys/cloud-agent
requests=$agent_home/.on-demand-scan
notes=$prefix/var/lib/standin

# record FILE WORD...: append one line to a file of the stand-in's own: UTC time, script, words.
record() {
    file=$notes/$1
    shift
    printf '%s %s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "${0##*/}" "$*" >>"$file"
}

# submit TYPE THROTTLE: put a request where the daemon looks for it; sets control_id.
# The id is this shell's local time and a counter. `ln` fails on a name that exists, and the
# daemon never sees a half-written request; ids already served are in requests.log.
submit() {
    stamp=$(date +%Y%m%d%H%M%S)
    draft=$requests/draft.$$
    counter=0
    printf 'Type=%s\nCpuThrottle=%s\nRequestedBy=%s\n' "$1" "$2" "${0##*/}" >"$draft"
    until
        control_id=$stamp.$counter
        ! grep -qsF "controlid=$control_id" "$notes/requests.log" &&
            ln "$draft" "$requests/on-demand-scan_$control_id.conf" 2>/dev/null
    do
        counter=$((counter + 1))
        [ "$counter" -lt 1000 ] || { rm -f "$draft"; echo 'Error: cannot write the request' >&2; exit 1; }
    done
    rm -f "$draft"
    record requests.log "type=$1 cputhrottle=$2 controlid=$control_id"
}

record invocations.log "$@"
