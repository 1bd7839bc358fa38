"""Faults of the agent's files (runbook steps 2.1 and 2.3): configuration, id, scripts, and the disk below."""

from qualys_verify.standin.faults.base import (
    HOUR,
    Change,
    Dead,
    Said,
    Site,
    Stuck,
    before,
    content,
    edit,
    fault,
    log,
    may_not_look,
    mode,
    program,
    remove,
    unit,
    variant,
)

_ZEROS = "00000000-0000-0000-0000-000000000000"
_ACTIVATION = "ActivationId=aaaaaaaa-0000-4000-8000-00000000fa6e"
_CUSTOMER = "CustomerId=cccccccc-0000-4000-8000-00000000fa6e"


def _directory_instead(place: str) -> Change:
    """A directory where a file should be."""

    def change(site: Site) -> None:
        getattr(site, place).unlink()
        getattr(site, place).mkdir()

    return change


def _below_opt(site: Site) -> None:
    """The other layout: everything below /opt, /etc/opt and /var/opt, and nothing in the usual places."""
    for usual, other in (
        ("usr/local/qualys", "opt/qualys"),
        ("etc/qualys", "etc/opt/qualys"),
        ("var/log/qualys", "var/opt/qualys/log"),
    ):
        (site.root / other).parent.mkdir(parents=True, exist_ok=True)
        (site.root / usual).rename(site.root / other)
        # The stand-in's own daemon and scripts keep the paths that they know.
        (site.root / usual).symlink_to(site.root / other)
    home = site.root / "opt/qualys/cloud-agent/bin/qualys-cloud-agent"
    unit(ExecStart=f"{{ path={home} ; argv[]={home} ; ignore_errors=no }}")(site)
    edit("configuration", "/var/log/qualys/", "/var/opt/qualys/log/")(site)


def _below_var(site: Site) -> None:
    """As on ostree hosts: /usr/local is a link to /var/usrlocal."""
    (site.root / "usr/local").rename(site.root / "var/usrlocal")
    (site.root / "usr/local").symlink_to(site.root / "var/usrlocal")


def _crlf(site: Site) -> None:
    text = site.configuration.read_text(encoding="utf-8")
    site.configuration.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())


def _listing(*lines: str) -> str:
    """What `ps` prints of the processes."""
    first = ("PID PPID PIDNS COMMAND", "   1   0 4026531836 /sbin/init")
    return "cat <<'end'\n{}\nend".format("\n".join((*first, *lines)))


_GROUP = "/system.slice/qualys-cloud-agent.service"
_BY_HAND = "/user.slice/user-0.slice/session-2.scope"


def _processes(*lines: str, groups: dict[int, tuple[str, int]] | None = None, name: str = "") -> Change:
    """Process 712 is the unit's main process, and `ps` prints these lines.

    `groups` are the control groups of processes and when they were started, `name` is the kernel's for 712.
    """
    cases = [
        f"'/proc/{pid}/cgroup /proc/{pid}/stat') printf '0::{group}\\n{pid} (x) S {'0 ' * 18}{started}\\n'; exit ;;"
        for pid, (group, started) in (groups or {}).items()
    ]
    told = f'case "$*" in {" ".join(cases)} /proc/712/comm) echo {name}; exit ;; esac'
    changes = (
        unit(MainPID="712", ControlGroup=_GROUP),
        program("ps", _listing(*lines)),
        program("cat", f'{told}\nPATH=${{PATH#*:}}\nexec cat "$@"'),
    )

    def change(site: Site) -> None:
        for one in changes:
            one(site)

    return change


_MAIN = " 712   1 4026531836 @DAEMON@"
_SECOND = " 930   1 4026531836 @DAEMON@"

TITLE = "The agent's files and processes"
FAULTS = (
    fault("configuration-absent", "The agent's configuration is not there.", remove("configuration")),
    fault(
        "configuration-unreadable",
        "Not even root may read the agent's configuration.",
        may_not_look("configuration"),
    ),
    fault(
        "configuration-empty",
        "The agent's configuration was cut off: it is empty.",
        content("configuration", ""),
    ),
    fault(
        "configuration-without-ids",
        "The agent's configuration holds nothing but where it logs.",
        content("configuration", "LogFileDir=@ROOT@/var/log/qualys/\n"),
    ),
    fault(
        "configuration-is-directory",
        "There is a directory in the place of the configuration.",
        _directory_instead("configuration"),
        daemon=Dead,
    ),
    fault(
        "never-activated",
        "The agent is installed and runs, and its ids are all zeros: it was never activated.",
        edit("configuration", _ACTIVATION, f"ActivationId={_ZEROS}"),
        edit("configuration", _CUSTOMER, f"CustomerId={_ZEROS}"),
        content("hostid", ""),
    ),
    fault(
        "activation-id-missing",
        "The configuration has no ActivationId.",
        edit("configuration", f"{_ACTIVATION}\n", ""),
        personality="vendor",
    ),
    fault(
        "customer-id-zero",
        "The CustomerId is all zeros.",
        edit("configuration", _CUSTOMER, f"CustomerId={_ZEROS}"),
    ),
    fault(
        "activation-id-commented-out",
        "The ActivationId stands in a comment.",
        edit("configuration", _ACTIVATION, f"#{_ACTIVATION}"),
    ),
    fault("hostid-absent", "There is no hostid: the agent was never provisioned.", remove("hostid")),
    fault(
        "hostid-empty",
        "The hostid is empty: the agent was never provisioned.",
        content("hostid", ""),
        personality="vendor",
    ),
    fault("hostid-zero", "The hostid is all zeros.", content("hostid", f"{_ZEROS}\n")),
    fault("hostid-unreadable", "Not even root may read the hostid.", may_not_look("hostid")),
    fault(
        "script-absent",
        "qualys-cloud-agent.sh is not there, and no cloudagentctl.sh either.",
        remove("script"),
    ),
    fault("script-not-executable", "qualys-cloud-agent.sh may not be executed.", mode("script", 0o600)),
    fault("script-unreadable", "Not even root may read qualys-cloud-agent.sh.", may_not_look("script")),
    fault("script-empty", "qualys-cloud-agent.sh is empty.", content("script", "")),
    fault(
        "script-without-interpreter",
        "The interpreter of qualys-cloud-agent.sh does not exist.",
        edit("script", "#!/bin/sh\n", "#!/opt/none/bin/sh\n"),
    ),
    fault(
        "script-only-talks-of-verbs",
        "qualys-cloud-agent.sh names the verbs in its help and comments, and handles none of them.",
        content(
            "script",
            "#!/bin/sh\n# Use: status, scan, policy_eval\necho 'Usage: status | scan | policy_eval'\nexit 0\n",
        ),
    ),
    fault(
        "control-absent",
        "The vendor's cloudagentctl.sh is not there.",
        remove("control"),
        personality="vendor",
    ),
    fault(
        "control-not-executable",
        "cloudagentctl.sh may not be executed.",
        mode("control", 0o600),
        personality="vendor",
    ),
    fault(
        "control-unreadable",
        "Not even root may read cloudagentctl.sh.",
        may_not_look("control"),
        personality="vendor",
    ),
    fault(
        "executable-deleted",
        "The agent's executable was deleted under the running process, as by half an upgrade.",
        remove("daemon"),
    ),
    fault(
        "two-agents",
        "A second agent runs beside the service's own, left over from another installation.",
        _processes(
            _MAIN,
            " 930   1 4026531836 /opt/qualys/cloud-agent/bin/qualys-cloud-agent",
            groups={712: (_GROUP, 500), 930: ("/system.slice/agent-of-old.service", 400)},
        ),
    ),
    fault(
        "second-agent-by-hand",
        "Somebody has started the agent once more, with other arguments.",
        _processes(_MAIN, f"{_SECOND} --foreground", groups={712: (_GROUP, 500), 930: (_BY_HAND, 900)}),
        personality="vendor",
    ),
    fault(
        "agent-left-from-last-start",
        "An agent of the unit's last start has not ended and runs beside the new one.",
        _processes(_MAIN, _SECOND, groups={712: (_GROUP, 500), 930: (_GROUP, 400)}),
        personality="limited",
    ),
    fault(
        "unit-keeps-another-program",
        "The unit is active and its program is the agent's, but what it keeps alive is a `sleep`.",
        _processes(" 712   1 4026531836 sleep infinity", name="sleep"),
    ),
    fault(
        "ps-absent",
        "There is no `ps`.",
        program("ps", 'echo "sudo: ps: command not found" >&2; exit 1'),
    ),
    fault(
        "disk-full",
        "The disk is full: requests cannot be written, and neither can the log.",
        before(
            "SCRIPT",
            'case "$1" in scan | policy_eval) echo "$0: cannot create @ROOT@/request: No space left on device" >&2; exit 2 ;; esac',
        ),
        log(Said(5 * HOUR, "Error", "Failed to write database: No space left on device"), until=5 * HOUR),
        daemon=Stuck,
    ),
    fault(
        "read-only-file-system",
        "The file system went read-only: requests cannot be written.",
        before(
            "CONTROL",
            'case "$*" in *demand*) echo "$0: cannot create request: Read-only file system" >&2; exit 2 ;; esac',
        ),
        log(until=3 * HOUR),
        daemon=Stuck,
        personality="vendor",
    ),
    variant(
        "agent-in-container",
        "Beside the service's agent runs one in a container, which has a pid namespace of its own.",
        program(
            "ps",
            _listing(
                " 712   1 4026531836 @DAEMON@",
                " 930 900 4026532444 /usr/local/qualys/cloud-agent/bin/qualys-cloud-agent",
            ),
        ),
    ),
    variant(
        "helper-without-parent",
        "A helper of the agent's has outlived the process that started it.",
        _processes(_MAIN, f"{_SECOND} --scan", groups={712: (_GROUP, 500), 930: (_GROUP, 900)}),
    ),
    variant(
        "agent-under-another-name",
        "The agent has changed its command line.",
        _processes(" 712   1 4026531836 qagent: waiting for work", name="qualys-cloud-ag"),
        personality="vendor",
    ),
    variant(
        "agent-by-interpreter",
        "The agent runs under an interpreter.",
        _processes(" 712   1 4026531836 /usr/bin/python3 -u @DAEMON@"),
    ),
    variant(
        "agent-with-children",
        "The agent has started processes of its own name for a scan.",
        program("ps", _listing(" 712   1 4026531836 @DAEMON@", " 930 712 4026531836 @DAEMON@")),
        personality="vendor",
    ),
    variant(
        "layout-opt",
        "The agent lives below /opt, /etc/opt and /var/opt.",
        _below_opt,
        opt=True,
        personality="vendor",
    ),
    variant(
        "layout-ostree", "The agent lives below /var/usrlocal, to which /usr/local is a link.", _below_var
    ),
    variant("configuration-from-windows", "The configuration has a byte order mark and CRLF.", _crlf),
    variant(
        "configuration-spaced",
        "The configuration has spaces around `=`, comments, and an id given twice.",
        edit("configuration", _ACTIVATION, f"# site\n; 7\nActivationId={_ZEROS}\nActivationId = aaaa-1"),
        personality="limited",
    ),
    variant(
        "script-with-case-in-function",
        "qualys-cloud-agent.sh is a wrapper that dispatches in a function.",
        edit("script", 'case "${1-}" in', 'verb=$1\ncase "$verb" in'),
    ),
)
