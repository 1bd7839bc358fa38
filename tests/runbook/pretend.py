"""What a scripted host says: text in. No process, no network, no waiting."""

from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from qualys_verify.agent.layout import HOME
from qualys_verify.transport import Reply

NOON = datetime(2026, 3, 23, 12, tzinfo=UTC)
CONF = "/etc/qualys/cloud-agent/qualys-cloud-agent.conf"
SCRIPT, CONTROL = HOME / "bin/qualys-cloud-agent.sh", HOME / "bin/cloudagentctl.sh"
LOG = PurePosixPath("/var/log/qualys/qualys-cloud-agent.log")
MISSING = (1, "", "head: cannot open 'it' for reading: No such file or directory")
REFUSED = (1, "", "sudo: a password is required")

MACHINE = {
    "id -u": "1000",
    "cat /proc/uptime": "259200.00 1.00",
    "cat /etc/machine-id": "feed",
    "hostname": "web1",
    "uname -r": "6.1.0",
    "timeout ": "",
    "cat ": "",
    "dpkg-query": "",
    "ls -1d": "",
}


class Script:
    """A transport that answers by how a command begins, `sudo -n` left aside.

    An answer is the printed text, `(status, stdout, stderr)`, a reason to raise, a function of the instant, or a list of those:
    one for each time it is asked, the last for good. A command that no answer is for fails the test.
    """

    host_key = ""
    client = ""
    container = None

    def __init__(self, answers):
        self.answers = {**answers, **MACHINE}
        self.now = NOON
        self.commands = []
        self.sleeps = []

    def rest(self):
        """Nothing is kept open."""

    def run(self, commands):
        self.commands += commands
        return tuple(self._reply(command) for command in commands)

    @property
    def asked(self):
        """What was asked besides who answers and what time it is."""
        return [command for command in self.commands if not command.startswith(("date", *MACHINE))]

    def _reply(self, command):
        answer = self._answer(command.removeprefix("sudo -n "))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer(self.now)
        if isinstance(answer, Exception):
            raise answer
        status, stdout, stderr = answer if isinstance(answer, tuple) else (0, answer, "")
        return Reply(command, status, stdout, stderr, self.now, 0.1)

    def _answer(self, command):
        if command.startswith("date"):
            return f"{self.now.timestamp():.0f} +0000\n{self.now.timestamp() - 86400:.0f} +0000"
        found = [answer for start, answer in self.answers.items() if command.startswith(start)]
        assert found, f"nobody was to run {command}"
        return found[0]


def log(*lines):
    """`(minutes after noon, message)` or `(minutes, level, message)` as the agent writes it, in UTC."""
    return "".join(
        f"{NOON + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}.000 [agent][712]:[{(*level, 'Information')[0]}]:[7]:{said}\n"
        for minutes, *level, said in lines
    )
