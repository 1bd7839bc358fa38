#!/bin/sh
# Stand-in for the agent's script as the vendor ships it: it changes the configuration, no more.
# To scan on demand use cloudagentctl.sh; for the status of the service use systemctl.
@COMMON@
@KEYS@
if [ $# -eq 0 ]; then
    usage
    exit 0
fi
apply_keys "$@"
