#!/bin/sh
# Stand-in for the agent's tool that takes requests for a scan on demand.
@COMMON@
types='vm|pc|inv|udc|sca|vmpc'

usage() {
    echo "Usage: ${0##*/} action=demand type=<$types> [cputhrottle=<0..1000>]"
    echo "       ${0##*/} show type"
}

# refuse STATUS LINE...: say why on standard output, as the tool does, and stop.
refuse() {
    status=$1
    shift
    printf '%s\n' "$@"
    exit "$status"
}

if [ $# -eq 0 ]; then
    usage
    exit 1
fi
if [ "$*" = 'show type' ]; then
    echo "supported types: $types"
    exit 0
fi

action=
type=
cputhrottle=0
for argument in "$@"; do
    argument=$(printf '%s' "$argument" | tr '[:upper:]' '[:lower:]')
    value=${argument#*=}
    case "$argument" in
        =* | *=) refuse 255 "Error: Key or Value missing in [$argument]" ;;
        action=*) action=$value ;;
        type=*) type=$value ;;
        cputhrottle=*) cputhrottle=$value ;;
        *) refuse 255 "Error: Invalid key name in $argument" ;;
    esac
done

if [ -z "$action" ] || [ -z "$type" ]; then
    echo 'mandatory parameters action,type should be provided.'
    usage
    exit 2
fi
case "$action" in
    demand | ondemand) ;;
    *) refuse 1 'Invalid action type provided' 'valid values: demand/ondemand' ;;
esac
case "$type" in
    vm | pc | inv | udc | sca | vmpc) ;;
    *) refuse 1 'Invalid manifest type provided.' "valid values: $types" ;;
esac
case "${cputhrottle#-}" in
    '' | *[!0-9]*) refuse 1 'Invalid input for cpu throttle.' ;;
esac
# A number too long for the shell makes `[` fail as well, which is the right answer here.
if ! { [ "$cputhrottle" -ge 0 ] && [ "$cputhrottle" -le 1000 ]; } 2>/dev/null; then
    refuse 1 'Invalid input: cputhrottle value should lie within range from 0 to 1000'
fi

pid=$(cat "$prefix/run/qualys-cloud-agent.pid" 2>/dev/null)
if [ -z "$pid" ] || ! kill -0 "$pid" 2>/dev/null; then
    # Exit status 0, as the real tool: only the ControlId line means that a request was taken.
    echo 'qualys-cloud-agent Process is not running so cant take on-demand-scan request now.'
    exit 0
fi
submit "$type" "$cputhrottle"
echo "On-Demand-Request ControlId: $control_id"
