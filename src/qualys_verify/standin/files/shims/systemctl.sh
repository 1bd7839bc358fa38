#!/bin/sh
# systemctl on a demo host: knows one unit, from a file in systemd's own Key=Value format, and
# answers what is only looked at. Exit statuses and streams are those of systemd 252.
notes=@PREFIX@/var/lib/standin
unit_of_agent=qualys-cloud-agent.service

# properties UNIT: all properties, one a line. A unit that is not there has properties too.
properties() {
    case "$1" in
        "$unit_of_agent") cat "$notes/unit.properties" ;;
        *) sed "s/@UNIT@/$1/g" "$notes/no-unit.properties" ;;
    esac
}

# show UNIT: the properties asked for, even when empty; or, unasked, all that are not empty.
show() {
    properties "$1" | awk -v wanted=",$wanted," -v bare="$bare" '
        {
            at = index($0, "=")
            name = substr($0, 1, at - 1)
            text = substr($0, at + 1)
        }
        (wanted == ",," && text != "") || index(wanted, "," name ",") {
            print (bare ? text : $0)
        }'
}

# value UNIT PROPERTY: one property's text.
value() {
    properties "$1" | sed -n "s/^$2=//p"
}

is_loaded() {
    [ "$(value "$1" LoadState)" != not-found ]
}

is_active() {
    state=$(value "$1" ActiveState)
    [ -n "$quiet" ] || echo "$state"
    [ "$state" = active ] || return 3
}

is_enabled() {
    if ! is_loaded "$1"; then
        echo "Failed to get unit file state for $1: No such file or directory" >&2
        return 1
    fi
    state=$(value "$1" UnitFileState)
    [ -n "$quiet" ] || echo "$state"
    [ "$state" = enabled ]
}

status() {
    if ! is_loaded "$1"; then
        echo "Unit $1 could not be found." >&2
        return 4
    fi
    state=$(value "$1" ActiveState)
    echo "● $1 - $(value "$1" Description)"
    echo "     Loaded: $(value "$1" LoadState) ($(value "$1" FragmentPath);" \
        "$(value "$1" UnitFileState); preset: $(value "$1" UnitFilePreset))"
    echo "     Active: $state ($(value "$1" SubState)) since $(value "$1" StateChangeTimestamp)"
    echo "   Main PID: $(value "$1" MainPID) (qualys-cloud-ag)"
    [ "$state" = active ] || return 3
}

verb=
units=
wanted=
bare=
quiet=
while [ $# -gt 0 ]; do
    case "$1" in
        --version)
            echo 'systemd 252 (252-demo)'
            echo '-PAM -AUDIT default-hierarchy=unified'
            exit 0
            ;;
        -p | --property)
            wanted=$wanted,$2
            shift
            ;;
        -P)
            wanted=$wanted,$2
            bare=1
            shift
            ;;
        --property=*) wanted=$wanted,${1#*=} ;;
        -p?*) wanted=$wanted,${1#-p} ;;
        --value) bare=1 ;;
        -q | --quiet) quiet=1 ;;
        -*) ;; # --no-pager, --full, --lines=0 …: how it looks
        *)
            if [ -z "$verb" ]; then
                verb=$1
            else
                case "$1" in *.*) units="$units $1" ;; *) units="$units $1.service" ;; esac
            fi
            ;;
    esac
    shift
done

case "$verb" in
    show) action=show ;;
    status) action=status ;;
    is-active) action=is_active ;;
    is-enabled) action=is_enabled ;;
    is-system-running)
        echo running
        exit 0
        ;;
    *)
        echo "systemctl ${verb:-list-units}: a demo host has no units to change, only to look at." >&2
        exit 1
        ;;
esac

result=0
first=1
for unit in $units; do
    [ "$verb" != show ] || [ -n "$first" ] || echo
    first=
    "$action" "$unit" || result=$?
done
exit "$result"
