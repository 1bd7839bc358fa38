keys=' ActivationId CustomerId LogLevel LogFileDir ServerUri SudoUser UseSudo CmdMaxTimeOut '

usage() {
    echo "Usage: ${0##*/} Key=Value ..."
    echo "Keys:$keys"
}

# apply_keys Key=Value...: change the configuration and restart the agent.
# The changes are gathered in a file of their own, which starts empty and goes when one of them
# is refused: whatever was pending in it is lost, even for a word that is no key at all.
apply_keys() {
    pending=$agent_conf/qualys-cloud-agent.properties
    conf=$agent_conf/qualys-cloud-agent.conf
    : >"$pending"
    for pair in "$@"; do
        case "$pair" in *=*) key=${pair%%=*} ;; *) key= ;; esac
        case "$keys" in
            *" $key "*) printf '%s\n' "$pair" >>"$pending" ;;
            *)
                rm -f "$pending"
                printf 'Error: Invalid key name in %s\n' "$pair"
                exit 255
                ;;
        esac
    done
    while IFS= read -r pair; do
        { grep -v "^${pair%%=*}=" "$conf"; printf '%s\n' "$pair"; } >"$conf.new"
        mv "$conf.new" "$conf"
    done <"$pending"
    rm -f "$pending"
    systemctl restart qualys-cloud-agent.service
}
