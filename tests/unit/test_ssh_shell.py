"""What a shell says before a script reaches it belongs to the answer: a forced command has ended by then."""

import asyncio

import asyncssh

from qualys_verify.ssh.shell import Shell


class GoneChannel:
    """A channel whose other side has ended."""

    def write(self, _data):
        raise BrokenPipeError

    def write_eof(self):
        raise AssertionError("nobody is told that nothing more comes, who is gone")

    def close(self):
        """Nothing is left to close."""


class Echo:
    """A channel with a shell that prints its two marks and what it was told."""

    def __init__(self, shell, mark):
        self.shell, self.mark = shell, mark

    def write(self, _data):
        for stream in (None, asyncssh.EXTENDED_DATA_STDERR):
            self.shell.data_received(b"\n%s begin\n%s\n%s end\n" % (self.mark, self.mark, self.mark), stream)


def deliver(shell, mark=b"MARK"):
    return asyncio.run(shell.deliver("true", mark, 1.0))


def test_what_a_shell_said_and_ended_with_before_the_script_came_is_kept():
    shell = Shell()
    shell.connection_made(GoneChannel())
    shell.data_received(b"fatal: unrecognized command\n", asyncssh.EXTENDED_DATA_STDERR)
    shell.exit_status_received(128)
    shell.eof_received()
    shell.connection_lost(None)
    raw = deliver(shell)
    assert (raw.status, raw.stderr) == (128, b"fatal: unrecognized command\n")


def test_an_answer_is_given_once():
    shell = Shell()
    shell.connection_made(Echo(shell, b"MARK"))
    assert b"MARK end" in deliver(shell).stdout
    shell.connection_made(Echo(shell, b"NEXT"))
    raw = deliver(shell, b"NEXT")
    assert b"NEXT end" in raw.stdout
    assert b"MARK" not in raw.stdout
