"""The root file system that all hosts share: built once by mmdebstrap, then kept outside the repository."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.machine import LabError, call, locked

SUITE = "bookworm"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "sudo",
    "fish",
    "tcsh",
    "iproute2",
    "procps",
    "python3",  # the stand-in agent, and Ansible's modules; python3-minimal is too little for those
    "ca-certificates",
)
OPTIONS = ("--mode=root", "--format=directory", "--variant=minbase", f"--include={','.join(PACKAGES)}")
CUSTOMIZE = Path(__file__).parent / "customize"
BUILD_TIMEOUT = 900.0


def shared_root() -> Path:
    """Return the directory of the shared root file system, having built it if this recipe never was."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qualys-verify" / "lab"
    cache.mkdir(parents=True, exist_ok=True)
    ready = cache / f"{SUITE}-{_key()}"
    if not ready.is_dir():
        with locked(cache):  # a second one waits here and finds the first one's work
            if not ready.is_dir():
                _build(cache, ready)
    return ready


def _key() -> str:
    recipe = "\n".join([SUITE, *OPTIONS, CUSTOMIZE.read_text(encoding="utf-8")])
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _build(cache: Path, ready: Path) -> None:
    """Build beside the final place and rename, so that a half-built one is never taken for whole."""
    sys.stderr.write("lab: building the root file system, once; this takes about half a minute\n")
    for stale in cache.glob("build-*"):
        _remove(stale)
    work = Path(tempfile.mkdtemp(prefix="build-", dir=cache))
    try:
        _mmdebstrap(work)
        (work / "root").rename(ready)
    finally:
        _remove(work)


def _mmdebstrap(work: Path) -> None:
    settings = work / "apt.conf"
    settings.write_text(_apt_settings(), encoding="utf-8")
    command = ["mmdebstrap", *OPTIONS, f"--aptopt={settings}", f"--customize-hook={CUSTOMIZE}"]
    command += [SUITE, str(work / "root"), *_apt_sources()]
    with (work / "log").open("w", encoding="utf-8") as log:
        try:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=BUILD_TIMEOUT
            )
        except subprocess.SubprocessError as error:
            tail = (work / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
            raise LabError("\n".join(["mmdebstrap could not build the root file system:", *tail])) from error


def _apt_sources() -> list[str]:
    """Take this machine's own apt sources for the suite, whatever files and notation they are written in."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    known = call(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).splitlines()
    wanted = re.compile(rf"(?P<source>\S+ {SUITE}(-updates|-security)? main) (Debian|\$\(ORIGIN\))?")
    sources = dict.fromkeys(f"deb {match['source']}" for match in map(wanted.fullmatch, known) if match)
    if not sources:
        raise LabError(f"apt here knows no Debian {SUITE}, which the hosts are made from: try apt-get update")
    return list(sources)


def _apt_settings() -> str:
    """Take over how this machine's apt reaches its sources: proxies, certificates, patience with dates."""
    how = re.compile(r'Acquire::(?!IndexTargets|Languages|CompressionTypes|Changelogs|cdrom)\S+ ".+";')
    lines = call(["apt-config", "dump"]).splitlines()
    return "".join(f"{line}\n" for line in lines if how.fullmatch(line))


def _remove(path: Path) -> None:
    call(["rm", "-rf", "--one-file-system", path], timeout=120)
