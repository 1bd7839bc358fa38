"""The frame around the output of each command: what is in it ran on the target, what is outside did not."""

import re
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.frame import Frame, Outcome, RawResult
from qualys_verify.reasons import Unreachable
from qualys_verify.targets import Target
from qualys_verify.transport import Transport
from qualys_verify.unreachable import why_unreachable

TARGET = Target("ssh://web1", "ssh", "web1")

FRAME = Frame("0123456789abcdef", "fedcba9876543210")
MARK = b"0123456789abcdeffedcba9876543210"
# What a command may print that comes close to a mark, as well as anything at all.
OUTPUT = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [
                b"\n",
                b" ",
                b"0",
                b"0123456789abcdef",
                b"fedcba9876543210",
                b"begin",
                b"\x00",
                b"\xff",
                MARK + b"x",
            ]
        ),
        max_size=8,
    ).map(b"".join),
).filter(lambda output: b"\n" + MARK + b" " not in b"\n" + output + b"\n")
OUTCOMES = st.lists(st.builds(Outcome, st.integers(0, 255), OUTPUT, OUTPUT), max_size=4)


def stream(outputs, before=b"", after=b""):
    """One of the two streams, as the script's shell writes it."""
    marks = b"".join(output + b"\n%s %d\n" % (MARK, status) for status, output in outputs)
    return before + b"\n" + MARK + b" begin\n" + marks + after


def raw(outcomes, before=b"", after=b"", status=0):
    return RawResult(
        status,
        stream(((outcome.status, outcome.stdout) for outcome in outcomes), before, after),
        stream(((outcome.status, outcome.stderr) for outcome in outcomes), before, after),
    )


@given(OUTCOMES, OUTPUT, OUTPUT)
def test_noise_around_the_frame_is_not_in_it(outcomes, before, after):
    result = raw(outcomes, before, after)
    assert FRAME.has_begun(result)
    assert FRAME.outcomes(result) == outcomes


@given(OUTCOMES, st.data())
def test_a_connection_lost_anywhere_gives_the_commands_that_ended_and_nothing_else(outcomes, data):
    whole = raw(outcomes)
    cut = RawResult(
        255,
        whole.stdout[: data.draw(st.integers(0, len(whole.stdout)))],
        whole.stderr[: data.draw(st.integers(0, len(whole.stderr)))],
    )
    found = FRAME.outcomes(cut)
    assert found == outcomes[: len(found)]


@given(st.integers(0, 255), OUTPUT, OUTPUT)
def test_what_was_not_framed_is_nothing(status, stdout, stderr):
    result = RawResult(status, stdout, stderr)
    assert not FRAME.has_begun(result)
    assert FRAME.outcomes(result) == []


def test_a_target_that_echoes_its_input_has_not_run_it():
    script = FRAME.script(["true", "id -u"]).encode()
    for echoed in (script, script.replace(b"\n", b"\r\n"), b"+ " + script.replace(b"\n", b"\n+ ")):
        assert not FRAME.has_begun(RawResult(0, echoed, echoed))


def test_each_round_trip_has_marks_of_its_own():
    assert Frame.new() != Frame.new()


def printed(commands, guard=()):
    """What a real /bin/sh makes of the script."""
    done = subprocess.run(
        ["/bin/sh"],
        input=FRAME.script(commands, guard).encode(),
        capture_output=True,
        check=False,
        timeout=20,
    )
    return RawResult(done.returncode, done.stdout, done.stderr)


def shell(commands):
    return FRAME.outcomes(printed(commands))


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        ("true", Outcome(0, b"", b"")),
        ("echo text", Outcome(0, b"text\n", b"")),
        ("printf text", Outcome(0, b"text", b"")),
        ("printf '\\n\\n'", Outcome(0, b"\n\n", b"")),
        ("printf 'a\\0b\\377'", Outcome(0, b"a\0b\xff", b"")),
        ("echo out; echo error >&2; (exit 3)", Outcome(3, b"out\n", b"error\n")),
        ("(exit 255)", Outcome(255, b"", b"")),
        ("cat", Outcome(0, b"", b"")),
        ("echo 'a\nb' # a comment", Outcome(0, b"a\nb\n", b"")),
        ("exit 7", Outcome(7, b"", b"")),
        ("exec false", Outcome(1, b"", b"")),
        ("set -eu; false; echo never", Outcome(1, b"", b"")),
        ("exec >/dev/null 2>&1; echo unheard", Outcome(0, b"", b"")),
        ('echo "$TZ$LANGUAGE$LC_ALL"', Outcome(0, b"C\n", b"")),
        ("cd /; a=1; mark() { :; }; PATH=; umask 777", Outcome(0, b"", b"")),
    ],
)
def test_a_real_shell(command, outcome):
    assert shell([command, "echo next"])[1:] == [Outcome(0, b"next\n", b"")]
    assert shell([command])[0] == outcome


def test_all_of_them_within_one_deadline_are_the_same():
    commands = ["echo 'it''s'", "printf 'a\\nb'; exit 3", 'cat; echo "$LC_ALL"']
    guarded = printed(commands, ("timeout", "-k", "5", "30"))
    assert FRAME.outcomes(guarded) == shell(commands)
    assert FRAME.has_ended(guarded)


def runs(number):
    """Whether there is such a process, and it has not ended yet."""
    try:
        return ") Z " not in Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return False


def test_the_nonce_is_in_no_arguments_which_everybody_can_read():
    listing, _ = FRAME.outcomes(printed(["ps -eo args", "true"], ("timeout", "-k", "5", "30")))
    assert b"timeout -k 5 30 /bin/sh\n" in listing.stdout
    assert FRAME.first.encode() not in listing.stdout


@pytest.mark.parametrize(
    "hung", ["sleep 60", "trap '' TERM; while sleep 1; do :; done", "sh -c 'sleep 60; :'"]
)
def test_a_deadline_for_all_ends_what_hangs_with_all_that_it_has_started(hung):
    started = time.monotonic()
    cut = printed(["echo 1", f"{hung} & echo $! >&2; wait", "echo 3"], ("timeout", "-k", "1", "1"))
    assert FRAME.outcomes(cut) == [Outcome(0, b"1\n", b"")]
    assert FRAME.has_ended(cut)
    assert time.monotonic() - started < 10
    (number,) = re.findall(rb"^\d+$", cut.stderr, re.MULTILINE)
    assert not runs(int(number))


def test_what_was_lost_has_not_ended():
    assert not FRAME.has_ended(printed(["echo 1", "kill -9 $$", "echo 3"]))


def test_the_commands_before_the_one_that_ended_the_shell():
    assert shell(["echo 1", "kill -9 $$", "echo 3"]) == [Outcome(0, b"1\n", b"")]


@given(st.lists(OUTPUT, min_size=1, max_size=3), st.integers(0, 255))
def test_any_bytes_and_any_status_come_through_a_real_shell(outputs, status):
    octal = ["".join(f"\\{byte:03o}" for byte in output) for output in outputs]
    commands = [f"printf '{text}'; printf '{text}' >&2; (exit {status})" for text in octal]
    assert shell(commands) == [Outcome(status, output, output) for output in outputs]


class Canned:
    """A backend whose answer is made from the frame's script."""

    def __init__(self, answer):
        self._answer = answer

    def deliver(self, script, _mark):
        return self._answer(script)


def run(answer, *commands):
    return Transport(TARGET, Canned(answer)).run(commands)


def through_a_shell(script, **changes):
    done = subprocess.run(["/bin/sh"], input=script.encode(), capture_output=True, check=False)
    return RawResult(**{"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr, **changes})


def test_a_reply_for_each_command():
    first, second = run(through_a_shell, "printf 'caf\\351'", "echo lost >&2; (exit 255)")
    assert (first.command, first.status, first.stdout) == ("printf 'caf\\351'", 0, "caf\\xe9")
    assert (second.status, second.stderr) == (255, "lost\n")
    assert "exit status 255" in str(second)
    assert "lost" in str(second)


def test_no_commands_are_no_replies():
    assert run(through_a_shell) == ()


@pytest.mark.parametrize(
    "status",
    [0, 1, 255],
)
def test_a_dead_target_that_looks_like_a_command_that_ended(status):
    with pytest.raises(Unreachable, match=f"no command ran there; the client ended with status {status}"):
        run(lambda _script: RawResult(status, b"", b""), "grep -q FATAL log")


def test_the_command_that_was_running_when_the_connection_was_lost():
    with pytest.raises(Unreachable, match=r"lost while `kill -9 ..` ran"):
        run(through_a_shell, "true", "kill -9 $$", "true")


def test_a_stream_that_was_lost_is_a_connection_that_was_lost():
    with pytest.raises(Unreachable, match="lost while `true` ran"):
        run(lambda script: through_a_shell(script, stderr=b""), "true")


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"ssh: Could not resolve hostname web1: Name or service not known", "does not resolve"),
        (b"ssh: connect to host web1 port 22: Connection refused", "is sshd running"),
        (b"ssh: connect to host web1 port 22: Connection timed out", "timed out"),
        (b"ssh: connect to host web1 port 22: No route to host", "no route"),
        (b"ops@web1: Permission denied (publickey).", "login was refused"),
        (b"No ED25519 host key is known for web1.\nHost key verification failed.", "not in known_hosts"),
        (
            b"@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
            "not the one in known_hosts",
        ),
        (
            b"Access is logged and may be revoked.\nops@web1: Permission denied (publickey).",
            "login was refused",
        ),
        (b"The ED25519 host key for web1 is marked as revoked.", "do not connect"),
        (
            b"Host key fingerprint is SHA256:x\n+--[ED25519 256]--+\n|  .oo  |\n+----[SHA256]-----+\n",
            "ended with status 255",
        ),
        (b"This account is currently not available.", "runs no commands"),
        (b"sh: 1: ssh: not found", "said: sh: 1: ssh: not found"),
        (b"\xff\x00 nonsense \x1b[31m", "said: "),
        (b"", "status 255"),
    ],
)
def test_why_a_target_is_unreachable_is_one_sentence(said, says):
    sentence = why_unreachable(TARGET, RawResult(255, b"", said))
    assert sentence.startswith("ssh://web1 cannot be reached: ")
    assert says in sentence
    assert "\n" not in sentence
