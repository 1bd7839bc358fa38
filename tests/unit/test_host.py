"""A host while it is observed, over a pretend transport: privilege, what a refusal means, and acting once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from threading import Barrier
from typing import ClassVar

import pytest

from qualys_verify.agent.layout import Layout
from qualys_verify.asked import CLOCK, root, user
from qualys_verify.host import Alone, Claims, Host
from qualys_verify.identity import PROBES
from qualys_verify.reasons import Denied, Inconclusive, NotApplicable, TimedOut, Unreachable
from qualys_verify.settings import read_settings
from qualys_verify.targets import Target
from qualys_verify.transport import Reply

pytest_plugins = ["pytester"]

WEB1 = Target("ssh://web1", "ssh", "web1")
BOOT = "b0070000-0000-4000-8000-000000000000"
MACHINE = {
    "id -u": "1000",
    "hostname": "web1",
    "uname -r": "6.1.0",
    "date": "1700000000 +0100\n1699913600 +0200",
    "cat /proc/uptime": "86400.00 1.00",
    "cat /etc/machine-id": f"feed\n{BOOT}",
}
SCAN = root("/opt/agent.sh", "scan")


class PretendTransport:
    """Answers by how a command begins; keeps what it was given."""

    def __init__(self, **answers):
        self.answers = {**MACHINE, **answers}
        self.commands = []
        self.host_key = ""
        self.client = ""
        self.container = None
        self.guards = []
        self.ended_in_time = None

    def rest(self):
        pass

    def run(self, commands):
        self.commands += commands
        return tuple(self._reply(command) for command in commands)

    def run_within(self, guard, commands):
        self.guards += [guard] if guard else []
        return self.run(commands)[: self.ended_in_time]

    def sent(self, what):
        return [command for command in self.commands if what in command]

    def _reply(self, command):
        matching = (answer for start, answer in self.answers.items() if command.startswith(start))
        answer = next(matching, "")
        if isinstance(answer, Exception):
            raise answer
        status, stdout, stderr = answer if isinstance(answer, tuple) else (0, answer, "")
        return Reply(command, status, stdout, stderr, datetime.now(UTC), 0.1)


@pytest.fixture
def settings(pytester):
    return read_settings(pytester.parseconfig("-p", "qualys_verify.plugin"))


@pytest.fixture
def open_host(settings):
    def make(answers=None, target=WEB1, claims=None, **changes):
        transport = PretendTransport(**(answers or {}))
        host = Host(
            target, replace(settings, **changes), transport, Alone(lambda _seconds: None, claims or Claims())
        )
        return host, transport

    return make


def test_who_answers(open_host):
    host, transport = open_host()
    identity = host.identity
    assert (identity.uid, identity.hostname, identity.kernel) == (1000, "web1", "6.1.0")
    assert identity.uptime.days == 1
    assert identity.installation == ("feed", BOOT, "web1")
    assert len(identity.clock.offsets) == 2
    assert len(host.record.replies) == len(transport.commands) == len(PROBES)
    assert host.identity is identity
    assert len(transport.commands) == len(PROBES)


@pytest.mark.parametrize(
    "answers",
    [
        {"id -u": ""},
        {"id -u": "root"},
        {"cat /proc/uptime": ""},
        {"cat /proc/uptime": "inf"},
        {"cat /proc/uptime": "nan"},
        {"date": ""},
        {"date": "soon"},
        {"date": "1700000000"},
        {"date": "9999999999999999999 +0000"},
        {"date": "1700000000 +9"},
    ],
    ids=str,
)
def test_nonsense_is_no_host(open_host, answers):
    host, _ = open_host(answers)
    with pytest.raises(Inconclusive, match="ssh://web1"):
        _ = host.identity


def test_a_host_that_does_not_know_its_machine_id_is_still_a_host(open_host):
    host, _ = open_host({"cat /etc/machine-id": ""})
    assert host.identity.installation == ("", "", "web1")


@pytest.mark.parametrize(
    ("uid", "changes", "as_user", "as_root"),
    [
        ("1000", {}, "ls", "sudo -n ls"),
        ("0", {}, "ls", "ls"),
        ("1000", {"sudo": True}, "sudo -n ls", "sudo -n ls"),
        ("0", {"sudo": True}, "sudo -n ls", "sudo -n ls"),
        ("1000", {"sudo_user": "qualys"}, "ls", "sudo -n -u qualys ls"),
        ("1000", {"sudo": True, "sudo_user": "a b"}, "sudo -n -u 'a b' ls", "sudo -n -u 'a b' ls"),
    ],
)
def test_privilege_is_put_before_exactly_what_needs_it(open_host, uid, changes, as_user, as_root):
    host, _ = open_host({"id -u": uid}, **changes)
    assert [reply.command for reply in host.run(user("ls"), root("ls"))] == [as_user, as_root]


GUARD = "timeout -k 5 30"


@pytest.mark.parametrize(
    ("uid", "allowed", "as_user", "as_root"),
    [
        ("0", 1, f"{GUARD} ls", f"{GUARD} ls"),
        ("1000", 0, f"{GUARD} ls", f"sudo -n {GUARD} ls"),
        ("1000", 1, f"{GUARD} ls", "sudo -n ls"),
    ],
)
def test_the_target_ends_a_hung_command_itself_where_it_can(open_host, uid, allowed, as_user, as_root):
    may = {"sudo -n -l timeout": (allowed, "", "Sorry, user ops is not allowed to execute 'timeout' as root")}
    host, _ = open_host({"id -u": uid, "timeout -k 1": "timeout 0", **may})
    assert [reply.command for reply in host.run(user("ls"), root("ls"))] == [as_user, as_root]


def test_a_command_that_the_target_ended_has_timed_out(open_host):
    host, _ = open_host(
        {"id -u": "0", "timeout -k 1": "timeout 0", "timeout -k 5": (124, "", "")}, command_timeout=0.1
    )
    with pytest.raises(TimedOut, match=r"longer than 0\.1 s"):
        host.run(root("ls"))


def test_arguments_stay_what_they_are(open_host):
    host, _ = open_host()
    (reply,) = host.run(user("cat", "/opt/agent dir/$(id);'x'\n"))
    assert reply.command == """cat '/opt/agent dir/$(id);'"'"'x'"'"'\n'"""


@pytest.mark.parametrize(
    "said",
    [
        "sudo: a password is required",
        "sudo: a terminal is required to read the password; either use the -S option to read from standard input",
        "Sorry, user ops is not allowed to execute '/usr/bin/head' as root on web1.",
        "Sorry, user ops may not run sudo on web1.",
        "ops is not in the sudoers file.  This incident will be reported.",
        "sudo: sorry, you must have a tty to run sudo",
        "sudo: PAM account management error: Authentication service cannot retrieve authentication info",
        "sudo: account validation failure, is your account locked?",
        "sudo: Account or password is expired, reset your password and try again",
        "sudo: unknown user qualys",
        "sudo: no valid sudoers sources found, quitting",
        'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.',
        "sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set",
        "sh: 1: sudo: not found",
        "sh: sudo: command not found",
    ],
)
def test_a_refusal_of_sudo_is_not_an_answer(open_host, said):
    host, _ = open_host({"sudo": (1, "", f"We trust you have received the usual lecture\n{said}\n")})
    with pytest.raises(Denied, match="sudo"):
        host.run(root("ls", "-l", "/opt"))


@pytest.mark.parametrize(
    ("answers", "uid"),
    [
        ((0, "", "sudo: a password is required"), "1000"),
        ((2, "", "ls: cannot access 'x': No such file or directory"), "1000"),
        ((1, "", "sudo: unable to resolve host web1: Name or service not known\nls: no"), "1000"),
        ((1, "", "sudo: /opt/agent.sh: command not found"), "1000"),
    ],
)
def test_what_a_command_says_is_not_a_refusal_of_sudo(open_host, answers, uid):
    host, _ = open_host({"sudo": answers, "id -u": uid})
    (reply,) = host.run(root("ls"))
    assert reply.status == answers[0]


def test_files_that_are_there_and_files_that_are_not(open_host):
    missing = (1, "", "head: cannot open '/b' for reading: No such file or directory")
    host, transport = open_host({"sudo -n head -c 262144 /a": "text", "sudo -n head -c 262144 /b": missing})
    assert host.read(*map(PurePosixPath, ("/a", "/b", "/c"))) == ("text", None, "")
    assert len(transport.sent("head")) == 3


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("head: cannot open '/a' for reading: Permission denied", Denied),
        ("head: cannot open '/a' for reading: Operation not permitted", Denied),
        (
            "sudo: unable to open /run/sudo/x: No such file or directory\nhead: '/a': Permission denied",
            Denied,
        ),
        ("sudo: unable to change directory to /home/ops: No such file or directory", Inconclusive),
        ("sudo: head: command not found", Inconclusive),
        ("head: error reading '/a': Is a directory", Inconclusive),
        ("head: error reading '/a': Input/output error", Inconclusive),
        ("", Inconclusive),
    ],
)
def test_may_not_look_is_never_not_there(open_host, said, reason):
    host, _ = open_host({"sudo": (1, "", said)})
    with pytest.raises(Inconclusive) as caught:
        host.read(PurePosixPath("/a"))
    assert type(caught.value) is reason
    assert "\n" not in str(caught.value)


def test_the_clock_is_read_after_the_commands(open_host):
    host, transport = open_host({"ls": "files"})
    clock, (reply,) = host.run_timed(user("ls"))
    assert (clock.now.timestamp(), reply.stdout) == (1700000000, "files")
    assert transport.commands[-2] == "ls"


def test_a_trigger_is_sent_once_and_its_answer_kept(open_host):
    host, transport = open_host({"sudo -n /opt/agent.sh scan": "Scan request submitted successfully"})
    sent, reply = host.trigger(SCAN)
    assert (sent.timestamp(), reply.stdout) == (1700000000, "Scan request submitted successfully")
    assert host.trigger(SCAN) == host.trigger(replace(SCAN, show=str.upper)) == (sent, reply)
    host.trigger(root("/opt/agent.sh", "policy_eval"))
    assert transport.sent("agent.sh") == ["sudo -n /opt/agent.sh scan", "sudo -n /opt/agent.sh policy_eval"]


@pytest.mark.parametrize(
    ("answers", "first"),
    [
        ({"sudo -n /opt/agent.sh": Unreachable("lost while it ran")}, Unreachable),
        ({"sudo -n /opt/agent.sh": (1, "", "sudo: a password is required")}, Denied),
    ],
)
def test_a_trigger_whose_answer_was_lost_is_not_sent_again(open_host, answers, first):
    host, transport = open_host(answers)
    with pytest.raises(first):
        host.trigger(SCAN)
    with pytest.raises(Inconclusive, match="not sent twice"):
        host.trigger(SCAN)
    assert len(transport.sent("agent.sh")) == 1


def test_a_clock_that_cannot_be_read_does_not_make_the_trigger_go_again(open_host):
    host, transport = open_host()
    _ = host.identity
    transport.answers["date"] = ""
    for _ in range(2):
        with pytest.raises(Inconclusive):
            host.trigger(SCAN)
    assert len(transport.sent("agent.sh")) == 1


class Company(Alone):
    """Counts whom it was asked about, and may refuse."""

    asked: ClassVar[list[str]]
    refusal: ClassVar[Exception | None] = None

    def clear(self, host):
        self.asked.append(host.target.id)
        if self.refusal:
            raise self.refusal


@pytest.fixture
def company(monkeypatch):
    def make(host, refusal=None):
        monkeypatch.setattr(Company, "asked", [], raising=False)
        monkeypatch.setattr(Company, "refusal", refusal)
        monkeypatch.setattr(host, "_company", Company(host._company.sleep, host._company.claims))
        return host._company

    return make


def test_a_host_is_cleared_once_before_its_first_trigger(open_host, company):
    host, _ = open_host({"sudo": "taken"})
    others = company(host)
    host.run(user("true"))
    assert others.asked == []
    host.trigger(SCAN)
    host.trigger(root("/opt/agent.sh", "policy_eval"))
    assert others.asked == ["ssh://web1"]


def test_a_host_that_is_not_cleared_is_sent_nothing(open_host, company):
    host, transport = open_host({"sudo": "taken"})
    others = company(host, Inconclusive("not triggered: too many are lost"))
    for command in (SCAN, SCAN, root("/opt/agent.sh", "policy_eval")):
        with pytest.raises(Inconclusive, match="too many are lost"):
            host.trigger(command)
    assert transport.sent("agent.sh") == []
    assert len(others.asked) == 3


def test_a_host_that_will_not_be_triggered_is_not_cleared(open_host, company):
    reads, _ = open_host(read_only=True)
    others = company(reads)
    with pytest.raises(NotApplicable):
        reads.trigger(SCAN)
    claims = Claims()
    first, _ = open_host({"sudo": "taken"}, claims=claims)
    first.trigger(SCAN)
    twin, _ = open_host(target=Target("ssh://alias", "ssh", "alias"), claims=claims)
    others = company(twin)
    with pytest.raises(Inconclusive, match="same machine"):
        twin.trigger(SCAN)
    assert others.asked == []


def test_a_read_only_run_sends_nothing(open_host):
    host, transport = open_host(read_only=True)
    with pytest.raises(NotApplicable, match="--read-only"):
        host.trigger(SCAN)
    assert transport.commands == []


def test_a_machine_under_two_names_is_triggered_under_the_first(open_host):
    claims = Claims()
    first, _ = open_host(claims=claims)
    alias, transport = open_host(target=Target("ssh://alias", "ssh", "alias"), claims=claims)
    first.trigger(SCAN)
    with pytest.raises(Inconclusive, match=r"ssh://alias is the same machine as ssh://web1"):
        alias.trigger(SCAN)
    assert transport.sent("agent.sh") == []


@pytest.mark.parametrize(
    "difference",
    [
        {"answers": {"cat /etc/machine-id": f"f00d\n{BOOT}"}},
        {"answers": {"cat /etc/machine-id": f"feed\n{BOOT[:-1]}1"}},
        {"answers": {"hostname": "web2"}},
        {"target": Target("ssh://web2", "ssh", "web2", layout=Layout(home=PurePosixPath("/opt/agent2")))},
    ],
    ids=["machine id", "boot id of a clone", "container on the same node", "another agent there"],
)
def test_machines_that_only_look_alike_are_triggered_each(open_host, difference):
    claims = Claims()
    first, _ = open_host(claims=claims)
    first.trigger(SCAN)
    second, transport = open_host(
        claims=claims, **{"target": Target("ssh://web2", "ssh", "web2"), **difference}
    )
    second.trigger(SCAN)
    assert len(transport.sent("agent.sh")) == 1


def test_readings_are_kept_with_their_time(open_host):
    host, _ = open_host()
    host.note("Last assessment: never")
    (reading,) = host.record.readings
    assert reading.endswith("Z  Last assessment: never")


def test_hosts_are_asked_who_they_are_at_the_same_time(open_host):
    """`functools.cached_property` had one lock for all hosts until Python 3.12."""
    meeting = Barrier(2, timeout=5)
    hosts = [open_host() for _ in range(2)]
    for _, transport in hosts:
        real = transport.run
        transport.run = lambda commands, real=real: (meeting.wait(), real(commands))[1]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda pair: pair[0].identity.hostname, hosts))
    assert found == ["web1", "web1"]


# --- looking ahead ---------------------------------------------------------------------------------------

BY_ROOT = {
    "id -u": "0",
    "timeout -k 1": "timeout 0",
    "timeout -k 5 30 ls": "here",
    "ls /": "here",
    "ps": "1 init",
}
BY_SUDO = {**BY_ROOT, "id -u": "1000", "sudo -n timeout -k 5 30 ls": "here"}
LS, PS = root("ls", "/"), user("ps")


@pytest.fixture
def looked(open_host):
    """A host of which `ls` and `ps` are expected, with its transport as it was before."""

    def make(answers, **changes):
        host, transport = open_host(answers, **changes)
        _ = host.identity
        host.expect([LS, PS])
        transport.commands.clear()
        return host, transport

    return make


def recorded(host):
    return [reply.command for reply in host.record.replies[len(PROBES) :]]


def test_what_is_expected_comes_with_the_first_of_it_within_one_deadline(looked):
    host, transport = looked(BY_ROOT)
    assert host.run(LS)[0].stdout == "here"
    assert (transport.guards, transport.commands) == ([("timeout", "-k", "5", "30")], ["ls /", "ps"])
    assert recorded(host) == ["ls /"]
    assert host.run(PS)[0].stdout == "1 init"
    assert (transport.commands, recorded(host)) == (["ls /", "ps"], ["ls /", "ps"])


def test_what_was_taken_is_looked_at_again(looked):
    host, transport = looked(BY_ROOT)
    host.run(LS)
    host.run(LS)
    assert transport.commands == ["ls /", "ps", "timeout -k 5 30 ls /"]


def test_what_is_not_expected_brings_nothing_along(looked):
    host, transport = looked(BY_ROOT)
    host.run(user("id"))
    assert transport.commands == ["timeout -k 5 30 id"]


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        ({**BY_SUDO, "sudo -n -l": (1, "", "")}, ["ls", "timeout -k 5 30 ps"]),
        ({**BY_ROOT, "timeout -k 1": ""}, []),
        ({**BY_ROOT, "timeout -k 1": "timeout 1"}, ["timeout -k 5 30 ls /", "timeout -k 5 30 ps"]),
        (BY_SUDO, ["sudo -n timeout -k 5 30 ls /"]),
    ],
    ids=["sudo allows no timeout", "no timeout", "a timeout that ends one process", "by sudo"],
)
def test_each_command_has_its_own_deadline_where_one_cannot_end_all(looked, answers, sent):
    host, transport = looked(answers)
    host.run(LS)
    assert transport.guards == []
    if host.may_guard:
        assert [command for command in transport.commands if "-l" not in command] == sent
    else:
        assert transport.sent("ps") == []


def test_the_first_that_sudo_is_asked_for_goes_alone(looked):
    host, transport = looked(BY_SUDO)
    other = root("ls", "/opt")
    host.expect([LS, PS, other])
    host.run(LS)
    alone, transport.commands = transport.commands, []
    assert [command for command in alone if " -l " not in command] == ["sudo -n timeout -k 5 30 ls /"]
    host.run(other)
    assert transport.commands == ["timeout -k 5 30 ps", "sudo -n timeout -k 5 30 ls /opt"]
    host.run(PS)
    assert len(transport.commands) == 2


def test_where_sudo_refuses_nothing_else_is_asked_of_it(looked):
    host, transport = looked(
        {**BY_SUDO, "sudo -n timeout -k 5 30 ls": (1, "", "sudo: a password is required")}
    )
    host.expect([LS, PS, root("ls", "/opt")])
    for _ in range(2):
        with pytest.raises(Denied):
            host.run(LS)
    assert transport.sent("sudo -n timeout -k 5 30 ls /opt") == []


@pytest.mark.parametrize(
    "wait", [lambda host: host.sleep(1), lambda host: host.trigger(SCAN)], ids=["wait", "request"]
)
def test_what_was_seen_before_a_wait_or_a_request_is_too_old_after_it(looked, wait):
    host, transport = looked(BY_ROOT)
    host.run(LS)
    wait(host)
    (unused,) = (reply for reply in host.record.replies if reply.command == "ps")
    assert "SHA-256" in unused.stdout, (
        "what was run is kept for the evidence; what it printed may hold secrets"
    )
    host.run(PS)
    assert transport.commands[-1] == "timeout -k 5 30 ps"
    host.forget()
    assert recorded(host).count("ps") == 1


def test_nothing_is_expected_after_a_wait(looked):
    host, transport = looked(BY_ROOT)
    host.sleep(1)
    host.run(LS)
    assert transport.commands == ["timeout -k 5 30 ls /"]


def test_what_did_not_end_in_time_is_asked_by_itself(looked):
    host, transport = looked(BY_ROOT)
    transport.ended_in_time = 1
    host.run(LS)
    assert host.record.readings[0].endswith(
        "looked ahead, and `ps` did not end in time; what came after it was not run"
    )
    host.run(PS)
    assert transport.commands[-1] == "timeout -k 5 30 ps"


@pytest.mark.parametrize("reason", [Unreachable("lost"), TimedOut("no answer")])
def test_looking_ahead_in_vain_is_no_verdict(looked, reason):
    host, transport = looked({**BY_ROOT, "ps": reason})
    assert host.run(LS)[0].stdout == "here"
    assert host.record.readings[0].endswith(f"looked ahead in vain, {reason}; asked was: ls /; ps")
    assert transport.commands.count("timeout -k 5 30 ls /") == 1


def test_a_refusal_is_told_to_who_asks(looked):
    host, _ = looked({**BY_SUDO, "sudo -n timeout -k 5 30 ls": (1, "", "sudo: a password is required")})
    assert host.run(PS)[0].stdout == ""
    with pytest.raises(Denied):
        host.run(LS)


def test_the_clock_belongs_to_what_was_read_with_it(looked):
    host, transport = looked(BY_ROOT)
    host.expect([LS, CLOCK])
    host.run_timed(PS)
    assert transport.commands[-2:] == ["timeout -k 5 30 ps", CLOCK.text]
    before = len(transport.commands)
    host.run(LS)
    host.clock()
    assert transport.commands[before:] == ["ls /", CLOCK.text, CLOCK.text]
    host.forget()
    host.expect([LS, CLOCK])
    transport.commands.clear()
    host.run_timed(LS)
    assert transport.commands == ["ls /", CLOCK.text]


def test_a_command_that_is_asked_twice_is_run_twice(looked):
    host, transport = looked(BY_ROOT)
    host.run(LS, LS)
    assert transport.commands == ["ls /", "ps", "timeout -k 5 30 ls /", "timeout -k 5 30 ls /"]
