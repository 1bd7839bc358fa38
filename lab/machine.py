"""This machine: the commands it has, its cgroups and mounts, and the one setting that the lab changes."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TOOLS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
"""What the lab runs, and the Debian package that brings it."""

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_NEEDED = 8192
LEDGER = Path("/run/qualys-verify-lab.inotify")
"""Which labs need the raised limit, and what it was before the first of them."""


class LabError(Exception):
    """Something went wrong that the person at the keyboard can act on; its text is one line or a few."""


def call(
    command: Sequence[str | Path],
    *,
    feed: str = "",
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command to its end and return what it printed; anything but success is a LabError.

    Args:
        command: The program and its arguments.
        feed: Text for its standard input.
        timeout: Seconds after which it is ended.
        env: Its whole environment; this process's own if not given.
    """
    name = str(command[0])
    try:
        done = subprocess.run(
            command, input=feed, capture_output=True, text=True, timeout=timeout, check=False, env=env
        )
    except FileNotFoundError as error:
        raise LabError(f"{name} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{name} did not end within {timeout:g} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "said nothing").splitlines()[-1]
        raise LabError(f"{' '.join(map(str, command))}: exit status {done.returncode}: {said}")
    return done.stdout


def missing() -> list[str]:
    """Name what this machine lacks for the lab, each in a few words."""
    lacks = [] if os.geteuid() == 0 else ["root's rights"]
    lacks += [f"{tool} (package {package})" for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if not cgroup_mounts():
        lacks.append("a mounted cgroup2 file system")
    return lacks


def cgroup_mounts() -> list[Path]:
    """Find the cgroup trees that systemd uses: cgroup2 first, then v1's name=systemd where there is one."""
    unified, named = [], []
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified.append(Path(where))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            named.append(Path(where))
    return unified[:1] + named[:1] if unified else []


def kill_cgroup(cgroup: Path, timeout: float = 30) -> None:
    """End every process below a cgroup of the unified tree, frozen ones too, and wait until all are gone."""
    if not cgroup.exists():
        return
    (cgroup / "cgroup.kill").write_text("1", encoding="ascii")
    deadline = time.monotonic() + timeout
    while "populated 1" in (cgroup / "cgroup.events").read_text(encoding="ascii"):
        if time.monotonic() > deadline:
            raise LabError(f"processes in {cgroup} are still there {timeout:g} s after they were killed")
        time.sleep(0.02)


def remove_cgroup(cgroup: Path) -> None:
    """Remove an empty cgroup and everything below it."""
    for here, _, _ in os.walk(cgroup, topdown=False):
        _patiently(Path(here).rmdir)


def unmount(mount: Path) -> None:
    """Unmount what nobody is to use any more."""
    _patiently(lambda: call(["umount", mount]))


def mounts_below(path: Path) -> list[Path]:
    """List what is mounted at a path or below it, the deepest first: the order to unmount in."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    mounts = (Path(line.split()[4]) for line in lines)
    return sorted((m for m in mounts if m.is_relative_to(path)), key=lambda m: len(m.parts), reverse=True)


def raise_inotify(lab: str) -> None:
    """Let many systemds watch files at once (128 is too little for 22 of them), and note what it was."""
    with _ledger() as ledger:
        now = int(INOTIFY.read_text(encoding="ascii"))
        before, labs = ledger.get("before", now), set(ledger.get("labs", []))
        ledger.update(before=before, labs=sorted(labs | {lab}))
        if now < INOTIFY_NEEDED:
            INOTIFY.write_text(str(INOTIFY_NEEDED), encoding="ascii")


def restore_inotify(lab: str) -> None:
    """Put the limit back with the last lab that needed it, unless somebody changed it meanwhile."""
    with _ledger() as ledger:
        if lab not in ledger.get("labs", []):
            return
        ledger["labs"].remove(lab)
        if ledger["labs"]:
            return
        if int(INOTIFY.read_text(encoding="ascii")) == INOTIFY_NEEDED:
            INOTIFY.write_text(str(ledger["before"]), encoding="ascii")
        ledger.clear()


def _patiently(action: Callable[[], object], timeout: float = 10) -> None:
    """Do what may fail at first, because the kernel lets go of killed processes only after a moment."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            action()
        except (LabError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@contextlib.contextmanager
def _ledger() -> Iterator[dict[str, Any]]:
    """Read the ledger under a lock, and write it back; an empty one is removed."""
    with locked(LEDGER.parent):
        ledger = json.loads(LEDGER.read_text(encoding="utf-8")) if LEDGER.exists() else {}
        yield ledger
        if ledger:
            LEDGER.write_text(json.dumps(ledger), encoding="utf-8")
        else:
            LEDGER.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(directory: Path, busy: str = "") -> Iterator[None]:
    """Hold the lock on a directory; if it is taken, wait, or give up with `busy` if that is given."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as error:
            raise LabError(busy) from error
        yield
    finally:
        os.close(handle)
