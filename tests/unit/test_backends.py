"""Every way to reach a host: a real answer comes through, and a dead target is no answer."""

import json
import os
import sys
import threading
import time

import pytest

from qualys_verify.backends import Deadline, ask, find_program
from qualys_verify.reasons import TimedOut, Unreachable
from qualys_verify.targets import Target, select
from qualys_verify.transport import SshSettings, connect
from tests.containers.objects import inspected, pod

# Clients that run the command here, as the engine would in the container; and one that has no such container.
CLIENT = """#!/bin/sh
case "$*" in
    *" get "*dead*) exit 0 ;;
    *dead*) echo "Error response from daemon: No such container: dead" >&2; exit 1 ;;
esac
case "$*" in
    inspect*) exec cat "$(dirname "$0")/inspect.json" ;;
    *" get "*) exec cat "$(dirname "$0")/pod.json" ;;
esac
while [ "$1" != /bin/sh ]; do shift; done
echo "a warning of the client's" >&2
exec "$@"
"""


@pytest.fixture
def reach(tmp_path, monkeypatch):
    """Connect to a spec, with clients of our own on PATH."""
    (tmp_path / "inspect.json").write_text(json.dumps([inspected()]))
    (tmp_path / "pod.json").write_text(json.dumps(pod(container="agent")))
    for name in ("docker", "podman", "kubectl"):
        client = tmp_path / name
        client.write_text(CLIENT)
        client.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def transport(spec, seconds=30.0):
        (target,) = select([spec]).targets
        ways.append(connect(target, SshSettings(tmp_path), Deadline(seconds, threading.Event()), 0))
        return ways[-1]

    ways = []
    yield transport
    for way in ways:
        way.close()


SPECS = ("docker://{}", "docker://root@{}", "podman://{}", "kubectl://{}?namespace=qualys&container=agent")


@pytest.mark.parametrize("spec", SPECS)
def test_answers_come_through_with_their_status(reach, spec):
    first, second = reach(spec.format("alive")).run(['echo "it\'s $((1 + 1))"; exit 255', "echo e >&2"])
    assert (first.status, first.stdout, first.stderr) == (255, "it's 2\n", "")
    assert (second.status, second.stderr) == (0, "e\n")


@pytest.mark.parametrize("spec", SPECS)
def test_a_dead_target_is_unreachable_and_no_exit_status_1(reach, spec):
    with pytest.raises(Unreachable, match=r"there is no (such container|pod dead in namespace qualys)"):
        reach(spec.format("dead")).run(["grep -q FATAL log"])


def test_a_hung_client_is_ended(reach):
    with pytest.raises(TimedOut, match=r"^docker://alive: no answer"):
        reach("docker://alive", 0.3).run(["sleep 60"])


@pytest.fixture
def inventory(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)  # a venv need not be activated
    if find_program("ansible") == "ansible":
        pytest.skip("ansible is not installed: pip install -e '.[test]' brings it")
    path = tmp_path / "inventory.ini"
    path.write_text(
        f"[web]\nhere ansible_connection=local ansible_python_interpreter={sys.executable}\n"
        "gone ansible_host=127.0.0.1 ansible_port=1\n"
    )
    return path


def ansible(name, inventory):
    return Target(f"ansible://{name}", "ansible", name, settings=(("ansible_inventory", str(inventory)),))


def test_ansible_brings_the_same_proof(inventory, tmp_path):
    way = connect(ansible("here", inventory), SshSettings(tmp_path), Deadline(60, threading.Event()), 0)
    first, second = way.run(["printf '{{ 1 }} %s' \"it's\"; exit 255", "echo e >&2"])
    assert (first.status, first.stdout, second.stderr) == (255, "{{ 1 }} it's", "e\n")


def test_a_host_that_ansible_cannot_reach_is_unreachable(inventory, tmp_path):
    way = connect(ansible("gone", inventory), SshSettings(tmp_path), Deadline(60, threading.Event()), 0)
    with pytest.raises(Unreachable, match="ansible://gone"):
        way.run(["true"])


def test_when_the_runs_time_is_over_no_command_is_waited_for_however_long_it_may_take():
    started = time.monotonic()
    limit = Deadline(60, threading.Event(), ends=started + 0.3)
    with pytest.raises(TimedOut, match="--deadline"):
        ask(("sleep", "30"), limit)
    assert time.monotonic() - started < 5
    assert limit.left == 0
