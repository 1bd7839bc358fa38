"""The benchmark's hosts, and each side on a few of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.checks import CHECKS, expected, facts_script, read_facts
from bench.hosts import Blemish, Hosts, Member, Trouble, numbered
from bench.run import CHECKOUT, MeasuringError, Turn, measure_sides
from bench.sides import BY_NAME, SIDES
from qualys_verify.standin.faults.base import Door
from tests.bench.conftest import NEEDS_SSHD

pytestmark = NEEDS_SSHD
ODD = (Blemish.NOT_AT_BOOT, Blemish.NOT_ACTIVATED, Blemish.NOT_PROVISIONED, Blemish.STALE)


@pytest.fixture(scope="module")
def hosts():
    """A host of each kind."""
    with Hosts.start(
        [Member(number, blemish=blemish) for number, blemish in enumerate((Blemish.NONE, *ODD))]
    ) as up:
        yield up


def ssh(hosts, member, command):
    return subprocess.run(
        ["ssh", "-F", str(hosts.ssh_config), member.address, command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_each_address_is_a_host_of_its_own(hosts):
    names = {
        ssh(hosts, member, "hostname; cat /proc/self/cwd/etc/qualys/hostid").stdout
        for member in hosts.members
    }
    assert len(names) == len(hosts.members)


def test_the_server_listens_on_the_loopback_device_only(hosts):
    port = int(hosts.ssh_config.read_text().rpartition("    Port ")[2].split()[0])
    listening = subprocess.run(
        ["ss", "-tlnH", f"sport = :{port}"], capture_output=True, text=True, check=True
    )
    assert listening.stdout.split()[3] == f"0.0.0.0%lo:{port}"


def test_only_its_own_key_is_let_in(hosts):
    config = hosts.root / "ssh_config.other"
    config.write_text(hosts.ssh_config.read_text().replace("client_key_ed25519", "other_key_ed25519"))
    done = subprocess.run(
        ["ssh", "-F", str(config), hosts.members[0].address, "true"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_the_facts_tell_what_is_there(hosts):
    found = {
        member.address: read_facts(ssh(hosts, member, facts_script()).stdout) for member in hosts.members
    }
    assert found == expected(hosts.members)
    assert sorted(map(len, found.values())) == [0, 1, 1, 1, 1]


def test_a_command_that_prints_nothing_finds_nothing_in_order():
    assert read_facts("") == frozenset(check.name for check in CHECKS)


def test_the_cpu_of_a_command_counts_even_when_its_session_has_left_it(hosts):
    before = hosts.cpu()
    burn = "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done"
    assert (
        ssh(hosts, hosts.members[0], f"( trap '' HUP; {burn} ) >/dev/null 2>&1 </dev/null &").returncode == 0
    )
    ends = time.monotonic() + 30
    while hosts.cpu() - before < 0.2 and time.monotonic() < ends:
        time.sleep(0.1)
    assert hosts.cpu() - before >= 0.2


def test_first_contact_is_seen_by_the_server(hosts):
    members = hosts.select(3)
    before = time.time()
    assert ssh(hosts, members[0], "true").returncode == 0
    first, last = hosts.first_contact(members)
    assert before - 0.1 <= first == last <= time.time() + 0.1


@pytest.mark.parametrize("name", [side.name for side in SIDES if side.name != "testinfra-shared"])
def test_each_side_finds_what_is_there(name):
    """testinfra with eight workers is the same as without, and takes a while to start."""
    side = BY_NAME[name]
    if side.missing:
        pytest.skip(side.missing)
    said = []
    part = measure_sides("floors", (Turn((name,), 4, 1),), said.append)
    (found,) = part.samples
    assert (found.side, found.hosts) == (name, 4)
    assert 0 < found.first <= found.last < found.wall
    assert found.cpu > 0
    assert str(Path.home()) not in part.commands[name]
    assert "/tmp/" not in part.commands[name]  # noqa: S108  # not a path, but that there is none
    assert len(said) == 2


def test_a_side_that_finds_something_else_is_an_error(monkeypatch):
    monkeypatch.setattr(
        "bench.run.expected", lambda members: {member.address: frozenset({"runs"}) for member in members}
    )
    with pytest.raises(MeasuringError, match=r"does not find what is there: .*127\.77\.0\.1.*runs"):
        measure_sides("floors", (Turn(("xargs",), 1, 1),), lambda _: None)


def test_a_side_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(type(BY_NAME["serverspec"]), "needs", ("no-such-program",))
    part = measure_sides("others", (Turn(("serverspec", "xargs"), 1, 1),), lambda _: None)
    assert part.skipped == ("Serverspec, 8 processes: no-such-program is missing",)
    assert [sample.side for sample in part.samples] == ["xargs"]


def test_hundreds_come_up_within_seconds():
    """A thousand take three times as long: the limit is one for a busy machine, and finds what grows with the square."""
    began = time.monotonic()
    with Hosts.start(numbered(300)) as up:
        took = time.monotonic() - began
        assert ssh(up, up.members[-1], "hostname").stdout == "host-0299\n"
    assert took < 30


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (Member(0, door=Door.REFUSED), "Connection refused"),
        (Member(0, door=Door.CHANGED_KEY), "REMOTE HOST IDENTIFICATION HAS CHANGED"),
        (Member(0, door=Door.UNKNOWN_KEY), "No ED25519 host key is known"),
        (Member(0, door=Door.REVOKED_KEY), "revoked"),
        (Member(0, door=Door.NO_LOGIN), "Permission denied"),
        (Member(0, door=Door.NAMELESS), "Could not resolve hostname"),
        (Member(0, trouble=Trouble.DROPS), "closed by remote host"),
    ],
    ids=lambda value: getattr(getattr(value, "door", None), "name", None),
)
def test_ways_to_fail(member, said):
    with Hosts.start([member]) as up:
        done = ssh(up, member, "systemctl show x")
    assert done.returncode == 255
    assert said in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_its_owner_ends(how):
    """Of a killed one only the folder is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "up", "3"],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        lines = [process.stdout.readline() for _ in range(3)]
        root = Path(
            next(word for word in lines[2].split() if word.startswith("--ssh-config=")).partition("=")[2]
        ).parent
        member = Member(0)
        client = subprocess.Popen(
            ["ssh", "-F", str(root / "ssh_config"), member.address, f"exec sleep 600 # {root}"]
        )
        while not (root / "hosts" / member.address / "run/first").exists():
            time.sleep(0.05)
        process.send_signal(how)
        process.wait(20)
        client.wait(20)
    ends = time.monotonic() + 10
    while (left := _processes_of(root)) and time.monotonic() < ends:
        time.sleep(0.1)
    assert left == []
    if how is signal.SIGINT:
        assert not root.exists()
    else:
        subprocess.run(["rm", "-r", str(root)], check=True)


def _processes_of(root):
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (
                (entry / "cmdline").read_bytes()
                + (entry / "environ").read_bytes()
                + os.fsencode((entry / "cwd").readlink())
            )
        except OSError:
            continue
        if os.fsencode(root) in told:
            found.append((int(entry.name), (entry / "cmdline").read_bytes()))
    return found
