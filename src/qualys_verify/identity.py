"""Who answers: the first look at every host (preflight). Text in, values out; no root needed for any of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from shlex import quote

from qualys_verify.agent.clock import ASK_CLOCK, HostClock, parse_clock

PACKAGE = "qualys-cloud-agent"
# The name of the fact that a host waits for a reboot.
REBOOT = "reboot required"
_REBOOT_FILE = "/run/reboot-required"

_BOOT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
# GNU's `timeout` is the head of a group of processes, and ends all of it; others end the one that they have started, in
# the group of the shell that has called them: `$0` is that shell.
_GUARDED = """read -r _ _ _ parent group _ </proc/self/stat
[ "$parent" = "$group" ] && [ "$group" != "$0" ]
echo "timeout $?"; hostname -f"""

# Asked in one round trip, of as few processes as that takes: on a fleet they are most of what a look costs. Their exit
# statuses say nothing. Only `uid`, `clock` and `uptime` must be answered: without them nothing can be judged. A name server
# that does not answer is not waited for; that shows whether the target can end a command, too.
PROBES: Mapping[str, str] = {
    "uid": "id -u",
    "user": "id -un 2>/dev/null",
    "hostname": "hostname 2>/dev/null || uname -n",
    "kernel": "uname -r",
    "fqdn": f"timeout -k 1 5 /bin/sh -c {quote(_GUARDED)} $$ 2>/dev/null",
    "system": "cat /etc/os-release 2>/dev/null",
    "clock": ASK_CLOCK,
    "uptime": "cat /proc/uptime",
    "ids": "cat /etc/machine-id /proc/sys/kernel/random/boot_id 2>/dev/null",
    "package": f"dpkg-query -W -f='${{Version}}\\n' {PACKAGE} 2>/dev/null || rpm -q --qf '%{{VERSION}}-%{{RELEASE}}\\n' {PACKAGE} 2>/dev/null || true",
    "reboot": f"ls -1d {_REBOOT_FILE} /boot/vmlinuz-* /lib/modules/*/vmlinuz 2>/dev/null",
}


@dataclass(frozen=True)
class Identity:
    """Who answered, as far as the host tells; empty where it does not.

    `offset` is how far its clock is ahead of the controller's. `host_key` is the fingerprint of the key that
    SSH verified. `has_timeout`: the target can end a command of ours by itself; `has_group_timeout`: with all that it has
    started. `hostids` are the SHA-256 of the
    agent's ids (several where an earlier installation has left one): only root may read them, see `fingerprint`. `around` is what
    is known from outside of a container: pairs of a name and a value. `client` is what spoke SSH with it.
    """

    uid: int
    user: str
    hostname: str
    fqdn: str
    system: str
    kernel: str
    clock: HostClock
    offset: timedelta
    uptime: timedelta
    machine_id: str
    boot_id: str
    agent_version: str
    host_key: str
    newer_kernel: str
    reboot_required: bool
    has_timeout: bool
    has_group_timeout: bool
    hostids: tuple[str, ...] = ()
    around: tuple[tuple[str, str], ...] = ()
    client: str = ""

    @property
    def installation(self) -> tuple[str, str, str]:
        """Equal for two targets that are the same running machine, whatever name they are reached by."""
        return self.machine_id, self.boot_id, self.hostname

    @property
    def why_reboot(self) -> str:
        """Why the host waits for a reboot, or empty: until then a fixed package may still be found vulnerable."""
        if self.newer_kernel:
            return f"kernel {self.newer_kernel} is installed, {self.kernel} runs"
        return f"{_REBOOT_FILE} exists" if self.reboot_required else ""

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What a report shows of it: pairs of a name and a value, without what is not known."""
        seconds = self.offset.total_seconds()
        pairs = (
            ("host name", self.fqdn or self.hostname),
            ("system", self.system),
            ("kernel", self.kernel),
            ("clock", f"{self.clock.now:%Y-%m-%d %H:%M:%S} UTC, {seconds:+.0f} s to the controller"),
            ("host key", self.host_key),
            ("SSH client", self.client),
            ("machine-id", self.machine_id),
            ("login", f"{self.user or self.uid}"),
            ("agent package", self.agent_version),
            ("agent hostid, SHA-256", ", ".join(self.hostids)),
            (REBOOT, self.why_reboot),
            *self.around,
        )
        return tuple((name, value) for name, value in pairs if value)

    def __str__(self) -> str:
        """What the report shows as observed."""
        return "; ".join(f"{name} {value}" for name, value in self.facts)


def fingerprint(hostid: str) -> str:
    """SHA-256 of an agent's id, which no evidence shows: `printf %s "$(cat /etc/qualys/hostid)" | sha256sum`."""
    return sha256(hostid.strip().encode("utf-8", "surrogateescape")).hexdigest()


def read_identity(answers: Mapping[str, str], host_key: str, controller: datetime) -> Identity:
    """Read what the PROBES printed.

    `controller` is the controller's UTC time at which they were sent. Raises ValueError when this is no Linux
    host that can be judged.
    """
    try:
        clock = parse_clock(answers["clock"].splitlines())
        uid, uptime = int(answers["uid"]), timedelta(seconds=float(answers["uptime"].split()[0]))
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(
            "it does not answer like a Linux host: `id -u`, `date` or `cat /proc/uptime` prints something else"
        ) from error
    said, _, fqdn = answers["fqdn"].partition("\n")
    boot = _BOOT_ID.search(answers["ids"])
    files = answers["reboot"].splitlines()
    return Identity(
        uid=uid,
        user=answers["user"],
        hostname=answers["hostname"],
        fqdn=fqdn.strip(),
        system=_system(answers["system"]),
        kernel=answers["kernel"],
        clock=clock,
        offset=clock.now - controller.replace(microsecond=0),
        uptime=uptime,
        machine_id=(answers["ids"][: boot.start()] if boot else answers["ids"]).strip(),
        boot_id=boot[0] if boot else "",
        agent_version=_version(answers["package"]),
        host_key=host_key,
        newer_kernel=_newer_kernel(files, answers["kernel"]),
        reboot_required=_REBOOT_FILE in files,
        has_timeout=said.startswith("timeout "),
        has_group_timeout=said == "timeout 0",
    )


def _system(os_release: str) -> str:
    """`PRETTY_NAME` out of /etc/os-release."""
    match = re.search(r"^PRETTY_NAME=[\"']?(.*?)[\"']?$", os_release, re.MULTILINE)
    return match[1] if match else ""


def _version(answer: str) -> str:
    """A package's version; package managers also print sentences."""
    line = answer.splitlines()[-1].strip() if answer else ""
    return line if re.fullmatch(r"\d[\w.+:~-]*", line) else ""


def _newer_kernel(files: Sequence[str], running: str) -> str:
    """The newest installed kernel of the running one's flavour, if it is newer."""
    paths = (re.fullmatch(r"/boot/vmlinuz-(.+)|/lib/modules/(.+)/vmlinuz", file) for file in files)
    versions = [match[1] or match[2] for match in paths if match]
    rivals = [version for version in versions if _flavour(version) == _flavour(running)]
    newest = max(rivals, key=_order, default="")
    # Where the running kernel's own image is not there, the images are not this machine's (a container, a lab).
    return newest if running in versions and _order(newest) > _order(running) else ""


def _flavour(version: str) -> str:
    """`amd64` of `6.1.0-18-amd64`: a debug or cloud kernel beside the running one is no update of it."""
    return re.sub(r"[\d.]+", "#", version)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
