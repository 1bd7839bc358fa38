#!/bin/sh
# Stand-in for the agent's script where a site's runbook applies: verbs, and Key=Value too.
@COMMON@
@KEYS@
case "${1-}" in
    '')
        usage
        ;;
    status)
        printf 'Last assessment: %s\n' "$(cat "$notes/last-assessment")"
        ;;
    scan)
        submit vm 0
        echo 'Scan request submitted successfully'
        ;;
    policy_eval)
        submit pc 0
        echo 'Policy evaluation started'
        ;;
    *)
        apply_keys "$@"
        ;;
esac
