"""Faults of what the login may do: sudo, in all its ways to refuse."""

from qualys_verify.standin.faults.base import before, fault, program, variant


def _refuses(*lines: str) -> str:
    said = "; ".join(f'echo "{line}" >&2' for line in lines)
    return f"{said}; exit 1"


_ABSENT = program("sudo", 'echo "/bin/sh: 1: sudo: not found" >&2; exit 127')

TITLE = "What the login may do"
FAULTS = (
    fault(
        "sudo-asks-password",
        "sudo asks for a password.",
        before("sudo", _refuses("sudo: a password is required")),
    ),
    fault(
        "sudo-lectures-and-asks",
        "sudo prints its lecture and asks for a password.",
        before(
            "sudo",
            _refuses(
                "We trust you have received the usual lecture from the local System Administrator.",
                "    #1) Respect the privacy of others.",
                "sudo: a terminal is required to read the password; either use the -S option to read from standard input",
                "sudo: a password is required",
            ),
        ),
        personality="vendor",
    ),
    fault("sudo-absent", "sudo is not installed.", _ABSENT),
    fault(
        "sudo-not-allowed",
        "The login is not in the sudoers file.",
        before("sudo", _refuses("demo is not in the sudoers file.  This incident will be reported.")),
    ),
    fault(
        "sudo-wants-terminal",
        "sudo is configured to want a terminal.",
        before("sudo", _refuses("sudo: sorry, you must have a tty to run sudo")),
        personality="limited",
    ),
    fault(
        "sudo-expired",
        "The login's account has expired, and sudo refuses it.",
        before(
            "sudo",
            _refuses(
                'sudo: Account expired or PAM config lacks an \\"account\\" section for sudo, contact your system administrator'
            ),
        ),
    ),
    fault(
        "sudo-broken",
        "sudo has lost its setuid bit.",
        before("sudo", _refuses("sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set")),
    ),
    fault(
        "sudo-hangs",
        "sudo waits for a directory service that does not answer.",
        before("sudo", "exec sleep 600"),
    ),
    fault(
        "sudo-reads-only",
        "sudo allows reading and not the agent's scripts.",
        before(
            "sudo",
            'case "$*" in *.sh" "*) case "$*" in *" head "*) ;; *) '
            + _refuses("sudo: a password is required")
            + " ;; esac ;; esac",
        ),
        personality="vendor",
    ),
    fault(
        "sudo-scripts-only",
        "sudo allows the agent's scripts and not to read its files.",
        before(
            "sudo",
            'case "$*" in *" head "* | *" tail "* | *" gzip "*) '
            + _refuses("sudo: a password is required")
            + " ;; esac",
        ),
    ),
    fault(
        "sudo-does-nothing",
        "sudo is a wrapper that does nothing and ends with exit status 0.",
        before("sudo", "exit 0"),
    ),
    variant(
        "login-root",
        "The login is root itself, and sudo is not installed.",
        program("id", 'case "$*" in -u) echo 0 ;; *) echo root ;; esac'),
        _ABSENT,
        personality="vendor",
    ),
    variant(
        "sudo-lectures",
        "sudo prints its lecture on stderr, and then does what it is asked.",
        before(
            "sudo",
            'echo "We trust you have received the usual lecture from the local System Administrator." >&2',
        ),
    ),
    variant(
        "sudo-cannot-resolve-host",
        "sudo complains that it cannot resolve the host's own name, and works.",
        before("sudo", 'echo "sudo: unable to resolve host demo: Name or service not known" >&2'),
        personality="vendor",
    ),
)
