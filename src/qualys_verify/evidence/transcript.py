"""`transcripts/<host>.txt`: every command that was run on a host, with its output, for a person to read."""

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256

from qualys_verify.evidence.events import Command
from qualys_verify.evidence.plain import one_line, printable, state_of, utc
from qualys_verify.evidence.result import Host, Run, Transcript

# So many characters of each output are shown: half from its beginning, half from its end. The journal has all.
SHOWN = 64 * 1024


def render_transcript(host: Host, transcript: Transcript, run: Run) -> bytes:
    """The commands of one host in order, each with number, times (UTC), exit status and output.

    Only lines that this module writes begin at the left margin: whatever a host says stands behind `  | `, so that
    no output can pass for a head line.
    """
    lines = [*_head(host, transcript, run)]
    for number, command in enumerate(transcript.commands, 1):
        lines += ["", *_command(number, command)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _head(host: Host, transcript: Transcript, run: Run) -> Iterator[str]:
    yield f"Transcript of {one_line(host.id)}"
    yield f"run: {one_line(run.id)}, {one_line(state_of(run))}"
    yield f"started: {utc(run.started)}"
    yield f"ended: {utc(run.ended) if run.ended else 'never'}"
    yield "identity:" if host.identity else "identity: not known, nobody answered"
    for name, value in host.identity.items():
        yield f"  - {one_line(name)}: {one_line(value)}"
    yield f"commands: {len(transcript.commands)}"


def _command(number: int, command: Command) -> Iterator[str]:
    ended = command.at + timedelta(seconds=command.took)
    yield f"== {number}. {one_line(command.observation)}, attempt {command.attempt}"
    first, *rest = printable(command.command).split("\n")
    yield f"  $ {first}"
    yield from (f"  > {line}" for line in rest)
    yield f"from {utc(command.at)} to {utc(ended)}, exit status {command.status}"
    yield from _output("stdout", command.stdout)
    yield from _output("stderr", command.stderr)


def _output(name: str, text: str) -> Iterator[str]:
    if not text:
        yield f"{name}: empty"
        return
    data = text.encode("utf-8", "backslashreplace")
    yield f"{name}: {len(data)} bytes, SHA-256 {sha256(data).hexdigest()}"
    if len(text) <= SHOWN:
        yield from _quoted(text)
        return
    half = SHOWN // 2
    yield from _quoted(text[:half])
    yield f"… {len(text) - 2 * half} of {len(text)} characters are left out here; the journal has them …"
    yield from _quoted(text[-half:])


def _quoted(text: str) -> Iterator[str]:
    lines = printable(text).split("\n")
    # The end of the last line begins no other.
    shown = lines[:-1] if len(lines) > 1 and not lines[-1] else lines
    yield from (f"  | {line}" for line in shown)
