"""The kubectl of this machine, and those of other versions that lie beside it (`kubectl.1.29` …)."""

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path

OLDEST = 27  # the oldest minor version that was tried
UNASKED = 30  # the first one that speaks WebSocket unasked; those before it speak SPDY only


def minor_of(program):
    """The minor version of a kubectl, or None where it does not tell."""
    said = subprocess.run(
        [program, "version", "--client", "--output=json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    try:
        return int(json.loads(said.stdout)["clientVersion"]["minor"].rstrip("+"))
    except (ValueError, KeyError):
        return None


@functools.cache
def kubectl_is_missing():
    """Why the real kubectl cannot be used here, or empty."""
    if shutil.which("kubectl") is None:
        return "kubectl is not installed"
    minor = minor_of("kubectl")
    if minor is None:
        return "kubectl does not tell its version"
    return "" if minor >= OLDEST else f"kubectl 1.{minor} was not tried; 1.{OLDEST} was"


@functools.cache
def clients():
    """The kubectl of PATH and those beside it, by minor version."""
    own = shutil.which("kubectl")
    if own is None or kubectl_is_missing():
        return {}
    real = Path(own).resolve()
    named = ((re.fullmatch(r"kubectl\.1\.(\d+)", path.name), path) for path in real.parent.iterdir())
    return {minor_of(own): real} | {int(match[1]): path for match, path in named if match}
