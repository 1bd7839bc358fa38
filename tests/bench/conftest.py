"""Skips what needs a real SSH server where there is none."""

import shutil

import pytest

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NEEDS_SSHD = pytest.mark.skipif(
    any(shutil.which(name, path=_PATH) is None for name in ("sshd", "ssh", "setpriv")),
    reason="needs OpenSSH's server and client and setpriv (Debian: openssh-server, openssh-client, util-linux)",
)
