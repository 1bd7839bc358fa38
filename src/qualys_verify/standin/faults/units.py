"""Faults of the unit (runbook step 1): what systemd says of the agent."""

import time

from qualys_verify.standin.faults.base import Change, Dead, Site, before, fault, program, unit, variant

_STOPPED = {
    "ActiveState": "inactive",
    "SubState": "dead",
    "MainPID": "0",
    "ActiveEnterTimestampMonotonic": "0",
}
_FAILED = _STOPPED | {"ActiveState": "failed", "SubState": "failed"}
_UNWANTED = {"WantedBy": "", "RequiredBy": ""}


def _running_since(seconds: float, **properties: str) -> Change:
    """The unit has been running for so long, on a host that is up since a day before that.

    The machine underneath may have been started a minute ago.
    """

    def change(site: Site) -> None:
        up = int(time.monotonic() + seconds) + 24 * 3600
        program(
            "cat",
            f'PATH=${{PATH#*:}}; [ "$*" = /proc/uptime ] && exec echo "{up}.00 1.00"; exec cat "$@"',
        )(site)
        unit(ActiveEnterTimestampMonotonic=str(int((up - seconds) * 1_000_000)), **properties)(site)

    return change


TITLE = "The unit"
FAULTS = (
    fault("not-installed", "There is no agent: systemd does not know the unit.", agent=False),
    fault(
        "unit-not-found",
        "The unit's file is gone, the agent's files are still there.",
        unit(**_STOPPED, **_UNWANTED, LoadState="not-found", UnitFileState="", ExecStart=""),
        daemon=Dead,
    ),
    fault("unit-stopped", "The service was stopped by hand.", unit(**_STOPPED), daemon=Dead),
    fault(
        "unit-failed",
        "The service ended with an error and is not started again.",
        unit(**_FAILED, Result="exit-code"),
        daemon=Dead,
        personality="vendor",
    ),
    fault(
        "unit-killed-for-memory",
        "The kernel killed the agent because memory ran out.",
        unit(**_FAILED, Result="oom-kill"),
        daemon=Dead,
    ),
    fault(
        "unit-start-limit",
        "systemd has given up starting the service after five attempts.",
        unit(**_FAILED, Result="start-limit-hit", NRestarts="5"),
        daemon=Dead,
        personality="limited",
    ),
    fault(
        "unit-masked",
        "The unit is masked, and so can be started by nobody.",
        unit(**_STOPPED, **_UNWANTED, LoadState="masked", UnitFileState="masked", ExecStart=""),
        daemon=Dead,
    ),
    fault(
        "unit-masked-while-running",
        "The unit was masked while the agent ran: it runs until the next reboot.",
        unit(LoadState="masked", UnitFileState="masked"),
    ),
    fault(
        "unit-disabled",
        "The agent runs, and will not after the next reboot.",
        unit(**_UNWANTED, UnitFileState="disabled"),
    ),
    fault(
        "unit-enabled-until-reboot",
        "The unit is enabled at run time only, which the next reboot forgets.",
        unit(**_UNWANTED, UnitFileState="enabled-runtime"),
        personality="vendor",
    ),
    fault(
        "unit-static-unwanted",
        "The unit is static, and nothing that is started at boot wants it.",
        unit(**_UNWANTED, UnitFileState="static"),
    ),
    fault(
        "unit-broken",
        "The unit's file cannot be read by systemd.",
        unit(**_STOPPED, LoadState="bad-setting", UnitFileState="bad", ExecStart=""),
        daemon=Dead,
    ),
    fault(
        "crash-loop",
        "The agent crashes and is started again every minute; just now systemd waits.",
        unit(**_STOPPED | {"ActiveState": "activating", "SubState": "auto-restart"}, NRestarts="7"),
        daemon=Dead,
    ),
    fault(
        "crash-loop-caught-running",
        "The agent crashes and is started again every minute; just now it runs.",
        _running_since(20, NRestarts="12", Result="success"),
        personality="vendor",
    ),
    fault(
        "unit-activating",
        "The service hangs in its start.",
        unit(**_STOPPED | {"ActiveState": "activating", "SubState": "start-pre"}),
        daemon=Dead,
    ),
    fault(
        "unit-deactivating",
        "The service hangs in its stop.",
        unit(**_STOPPED | {"ActiveState": "deactivating", "SubState": "stop-sigterm"}),
        personality="vendor",
    ),
    fault(
        "unit-exited",
        "The service counts as active, and its process has ended.",
        unit(SubState="exited", MainPID="0"),
        daemon=Dead,
        personality="vendor",
    ),
    fault(
        "unit-runs-another-program",
        "The unit was overridden to run another program, and no agent runs.",
        unit(ExecStart="{ path=/bin/sleep ; argv[]=/bin/sleep infinity ; ignore_errors=no }"),
        program(
            "ps", "echo '   1   0 4026531836 /sbin/init'; echo ' 712   1 4026531836 /bin/sleep infinity'"
        ),
        daemon=Dead,
        personality="vendor",
    ),
    fault(
        "systemctl-absent",
        "There is no systemctl.",
        program("systemctl", 'echo "/bin/sh: 1: systemctl: not found" >&2; exit 127'),
    ),
    fault(
        "systemd-not-init",
        "The host was not booted with systemd.",
        program(
            "systemctl",
            'echo "System has not been booted with systemd as init system (PID 1). Can\'t operate." >&2; exit 1',
        ),
    ),
    fault(
        "systemctl-refused",
        "The login may not ask systemd.",
        program("systemctl", 'echo "Failed to connect to bus: Permission denied" >&2; exit 1'),
    ),
    fault("systemctl-hangs", "systemctl never answers.", program("systemctl", "exec sleep 600")),
    fault(
        "systemctl-floods",
        "systemctl prints without end.",
        program("systemctl", "exec yes Id=qualys-cloud-agent.service"),
    ),
    fault(
        "systemctl-empty",
        "systemctl answers with nothing and exit status 0.",
        program("systemctl", "exit 0"),
    ),
    variant(
        "unit-static-wanted",
        "The unit is static, and multi-user.target wants it.",
        unit(UnitFileState="static", WantedBy="multi-user.target"),
    ),
    variant(
        "unit-generated",
        "The unit was generated from an init script that starts at boot.",
        unit(UnitFileState="generated", WantedBy="multi-user.target graphical.target"),
        personality="vendor",
    ),
    variant(
        "unit-restarted-long-ago",
        "The agent crashed four times, and has been running for hours since.",
        _running_since(5 * 3600, NRestarts="4"),
    ),
    variant(
        "unit-just-started",
        "The agent was started a second ago, for the first time.",
        _running_since(1),
    ),
    variant(
        "systemd-old",
        "An old systemd that knows neither NRestarts nor TriggeredBy.",
        before("systemctl", 'set -- $(echo "$*" | sed "s/NRestarts,//;s/,TriggeredBy//")'),
        personality="vendor",
    ),
)
