"""Faults of the way to the host: the network, SSH, the login and its shell."""

from qualys_verify.standin.faults.base import Change, Door, before, fault, program, variant
from qualys_verify.standin.faults.execution import NeverEnds

# The demo's server closes the connection that a command asks it to; see `server.py`.
# What was printed until then shall have left the host.
_HANG_UP = "sleep 0.5; : >@ROOT@/run/hang-up; exec sleep 600"
# A shell that is kept open ends as well: the sixth word is the session's leader.
_END_SHELL_SOON = (
    "(leader=$(cut -d' ' -f6 /proc/$$/stat); sleep 1; kill -9 $leader) </dev/null >/dev/null 2>&1 &"
)
_GONE, _SHELL = "@ROOT@/shims/gone", "@ROOT@/shims/login-shell"


def _shell(text: str) -> Change:
    """Another login shell; it is called as `shell -c COMMAND`."""
    return program("login-shell", text)


TITLE = "The way to the host"
FAULTS = (
    fault("connection-refused", "Nothing listens on the port.", door=Door.REFUSED),
    fault("connection-closed", "The connection is closed before a word is said.", door=Door.CLOSED),
    fault("connection-silent", "The connection is taken, and nobody ever says anything.", door=Door.SILENT),
    fault("not-ssh", "Another protocol answers on the port.", door=Door.NOT_SSH),
    fault("name-unknown", "The host's name does not resolve.", door=Door.NAMELESS),
    fault("host-key-unknown", "The host's key is not in known_hosts.", door=Door.UNKNOWN_KEY),
    fault("host-key-changed", "The host's key is another one than in known_hosts.", door=Door.CHANGED_KEY),
    fault("host-key-revoked", "The host's key is marked as revoked.", door=Door.REVOKED_KEY),
    fault("login-refused", "The login's key is refused.", door=Door.NO_LOGIN),
    fault(
        "shell-nologin",
        "The login shell is nologin.",
        _shell("echo 'This account is currently not available.'; exit 1"),
    ),
    fault("shell-false", "The login shell is /bin/false.", _shell("exit 1")),
    fault(
        "shell-exits", "The shell's start file ends with `exit`, so no command ever runs.", _shell("exit 0")
    ),
    fault(
        "shell-hangs",
        "The login's shell never starts: its home is on a server that does not answer.",
        _shell("exec sleep 600"),
    ),
    fault("shell-floods", "The login's shell prints without end.", _shell("exec yes 'message of the day'")),
    fault("shell-echoes", "An appliance's command line repeats what it is sent.", _shell("exec cat")),
    fault(
        "shell-menu",
        "The login runs a menu that takes our commands for choices.",
        _shell('while read -r choice; do echo "Invalid choice. 1) Status 2) Exit"; done; exit 0'),
    ),
    fault(
        "shell-forced-command",
        "The key is bound to another command.",
        _shell("echo 'fatal: unrecognized command' >&2; exit 128"),
    ),
    fault(
        "shell-restricted",
        "The login shell is a restricted one.",
        _shell('echo "rbash: /bin/sh: restricted: cannot specify \\`/\' in command names" >&2; exit 1'),
    ),
    fault(
        "password-expired",
        "The login's password has expired.",
        _shell(
            "echo 'WARNING: Your password has expired.' >&2; echo 'Password change required but no TTY available.' >&2; exit 1"
        ),
    ),
    fault(
        "shell-lies",
        "A login shell ends with exit status 0 for everything, and prints `active`.",
        _shell("cat >/dev/null; echo active; echo loaded; exit 0"),
    ),
    fault(
        "dropped-in-first-command",
        "The connection is lost while `systemctl` runs, each time.",
        before("systemctl", _HANG_UP),
    ),
    fault(
        "dropped-in-request",
        "The connection is lost after the request was sent, before its answer.",
        before("SCRIPT", f'if [ "${{1-}}" = scan ]; then {_HANG_UP}; fi'),
    ),
    fault(
        "dropped-for-ever-in-poll",
        "The host is gone as soon as it has accepted the requests.",
        before("SCRIPT", f'if [ "${{1-}}" = policy_eval ]; then cp {_GONE} {_SHELL}; {_END_SHELL_SOON} fi'),
        program("gone", "echo 'Connection reset by peer' >&2; exit 1"),
        daemon=NeverEnds,
    ),
    fault(
        "log-tail-hangs",
        "Reading the log never ends: it lies on a disk that does not answer.",
        before("sudo", 'case "$*" in *" tail -c "*) exec sleep 600 ;; esac'),
        personality="vendor",
    ),
    fault(
        "id-unknown",
        "The host does not answer like a Linux host.",
        program("id", "echo 'privilege level is 15'"),
    ),
    variant(
        "shell-noise",
        "The login's start files print banners and errors, before and after.",
        _shell(
            "echo 'Welcome to demo. All is logged.'; printf '\\033[1mLast login: today\\033[0m\\n'; echo 'stty: not a terminal' >&2\n"
            '/bin/sh "$@"; status=$?; echo "logout"; echo "bye" >&2; exit $status'
        ),
    ),
    variant(
        "shell-other",
        "The login shell is one that knows nothing of POSIX, such as fish or csh.",
        _shell(
            'case "$2" in "exec /bin/sh") exec /bin/sh ;; *) echo "Illegal variable name." >&2; exit 1 ;; esac'
        ),
        personality="vendor",
    ),
    variant(
        "host-slow",
        "Each command takes half a second to begin.",
        _shell('sleep 0.5; exec /bin/sh "$@"'),
        personality="vendor",
    ),
    variant(
        "host-name-odd",
        "The host's name holds what a name may not hold.",
        program("hostname", "printf 'w\\303\\251b <svg/onload=alert(1)> $(reboot)\\n'"),
    ),
    variant(
        "timeout-absent",
        "The host has no `timeout`.",
        program("timeout", 'echo "/bin/sh: 1: timeout: not found" >&2; exit 127'),
        personality="vendor",
    ),
    variant(
        "gzip-absent",
        "The host has no `gzip`.",
        before("sudo", 'case "$*" in *" gzip "*) echo "sudo: gzip: command not found" >&2; exit 1 ;; esac'),
    ),
    variant(
        "locale-german",
        "The host speaks German, unless it is told otherwise.",
        before(
            "sudo",
            'if [ "$LC_ALL" != C ]; then echo "sudo: Das lief schief: Datei oder Verzeichnis nicht gefunden" >&2; exit 1; fi',
        ),
        personality="vendor",
    ),
    variant(
        "locale-turkish",
        "The host's letters are Turkish, unless it is told otherwise.",
        before("systemctl", 'if [ "$LC_ALL" != C ]; then tr a-z A-Z; exit; fi'),
    ),
    variant(
        "dropped-once-in-poll",
        "The connection is lost once while the scan runs.",
        before(
            "SCRIPT",
            f'if [ "${{1-}}" = status ] && [ -s @NOTES@/requests.log ] && [ ! -e @NOTES@/dropped ]; then : >@NOTES@/dropped; {_HANG_UP}; fi',
        ),
    ),
)
