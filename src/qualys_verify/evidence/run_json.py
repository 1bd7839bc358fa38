"""`run.json`: the whole result, with a published JSON Schema."""

import json
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from qualys_verify.evidence import digests
from qualys_verify.evidence.events import FORMAT
from qualys_verify.evidence.result import Result

NAME = "run.json"
# Where the hosts are to stand: so far to the left is only what the result itself has.
_NO_HOSTS = b'\n  "hosts": null'
SCHEMA_ID = f"urn:qualys-verify:run:{FORMAT}"


def render_run(result: Result) -> Iterator[bytes]:
    """The result as JSON, for people and programs. Comes in parts, one for each host: a thousand need not be in memory."""
    before, after = _formatted({**msgspec.structs.asdict(result), "hosts": None}).split(_NO_HOSTS)
    yield before + _NO_HOSTS.removesuffix(b"null") + b"["
    for number, host in enumerate(result.hosts):
        yield (b"," if number else b"") + b"\n    " + _formatted(host).replace(b"\n", b"\n    ")
    yield (b"\n  ]" if result.hosts else b"]") + after + b"\n"


def _formatted(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def read_run(data: bytes) -> Result:
    """The result in a `run.json`. Raises ValueError with one sentence when it is none, or of a later format."""
    try:
        result = _decoder().decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no run.json of this suite ({error})") from error
    if result.format.partition(".")[0] != FORMAT.partition(".")[0]:
        raise ValueError(f"its format is {result.format}, and this version of qualys-verify reads {FORMAT}")
    unknown = {item.test for host in result.hosts for item in host.assessments} - result.check_of.keys()
    if unknown:
        raise ValueError(f"it judges {min(unknown)}, and does not say what that is")
    return result


def read_result(path: Path) -> Result:
    """The result of a bundle: its folder, or the `run.json` in it. Raises ValueError with one sentence."""
    file = path / NAME if path.is_dir() else path
    try:
        return read_run(digests.read(file))
    except OSError as error:
        raise ValueError(
            f"{file} cannot be read ({error.strerror}): name a run's folder or its run.json"
        ) from error
    except ValueError as error:
        raise ValueError(f"{file} cannot be used: {error}") from error


@cache
def _decoder() -> msgspec.json.Decoder[Result]:
    return msgspec.json.Decoder(Result)


def schema() -> str:
    """The JSON Schema (2020-12) of `run.json`; also published as `run.schema.json` beside this file."""
    made = json.loads(json.dumps(msgspec.json.schema(Result)), object_hook=_dedented)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "qualys-verify run.json",
    }
    return json.dumps({**head, **made}, indent=2, ensure_ascii=False) + "\n"


def _dedented(part: dict[str, Any]) -> dict[str, Any]:
    """A part of a schema; its description is a docstring, which some releases of msgspec leave indented as the code is."""
    match part:
        case {"description": str(text)}:
            return {**part, "description": cleandoc(text)}
    return part
