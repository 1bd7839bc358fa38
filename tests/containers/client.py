"""Whether the kubectl of this machine can be used by the tests."""

import json
import shutil
import subprocess

_OLDEST = 30  # the first minor version that speaks WebSocket unasked


def kubectl_is_missing():
    """Why the real kubectl cannot be used here, or empty."""
    if shutil.which("kubectl") is None:
        return "kubectl is not installed"
    said = subprocess.run(
        ["kubectl", "version", "--client", "--output=json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    try:
        minor = json.loads(said.stdout)["clientVersion"]["minor"].rstrip("+")
    except (ValueError, KeyError):
        return "kubectl does not tell its version"
    return "" if int(minor) >= _OLDEST else f"kubectl 1.{minor} speaks no WebSocket; 1.{_OLDEST} does"
