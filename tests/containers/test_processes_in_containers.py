"""The agent's process in a container, also where the node's are seen (hostPID), by `ps` and by the walk through /proc."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qualys_verify.agent.commands import CONTAINED_PROCESSES, OWN_MOUNTS, OWN_SPACE, WALK
from qualys_verify.agent.container import parse_contained

DAEMON = "/usr/local/qualys/cloud-agent/bin/qualys-cloud-agent"
MOUNTS, SPACE = "mnt:[4026532001]", "pid:[4026531836]"
NODE = f"""    1     0 4026531836 4026531832 /sbin/init
  700     1 4026531836 4026531832 {DAEMON}
  800     1 4026531836 4026532001 {DAEMON}
  801   800 4026531836 4026532001 {DAEMON} --scan
  900     1 4026539999 4026532500 {DAEMON}
  950   800 4026531836 4026532001 tail -f {DAEMON}
"""


def test_among_the_nodes_processes_the_containers_own_are_told_by_their_mounts():
    found = parse_contained(NODE, MOUNTS, SPACE)
    assert (found.daemons, str(found.program), found.elsewhere) == ((800,), DAEMON, 2)
    assert str(found) == "no second agent; 2 elsewhere on the node"


def test_an_agent_of_the_node_itself_is_not_the_containers():
    without = "\n".join(line for line in NODE.splitlines() if "4026532001" not in line)
    assert parse_contained(without, MOUNTS, SPACE).daemons == ()


def test_a_process_whose_mounts_may_not_be_seen_is_not_the_containers():
    found = parse_contained(f"700 1 4026531836 - {DAEMON}", MOUNTS, SPACE)
    assert (found.daemons, found.untold) == ((), (700,))
    assert parse_contained(NODE, MOUNTS, SPACE).untold == ()


def test_where_mounts_are_not_told_the_pid_namespace_counts_and_without_both_everything():
    own, other = f"7 1 4026531836 - {DAEMON}", f"8 1 4026539999 - {DAEMON}"
    assert parse_contained(f"{own}\n{other}", "", SPACE).daemons == (7,)
    assert parse_contained(f"{own}\n{other}", "", "").daemons == (7, 8)


def test_a_helper_that_has_lost_its_parent_is_no_second_agent():
    listing = f"7 1 1 5 {DAEMON}\n8 1 1 5 {DAEMON} --scan"
    assert parse_contained(listing, "mnt:[5]", "pid:[1]").state == "no second agent"


def test_two_agents_in_one_container_are_two():
    assert parse_contained(f"7 1 1 5 {DAEMON}\n8 1 1 5 {DAEMON}", "mnt:[5]", "pid:[1]").state.startswith(
        "2 agents"
    )


@pytest.mark.parametrize("command", [CONTAINED_PROCESSES, WALK], ids=["ps", "walk"])
def test_both_listings_show_a_real_process_as_this_containers_own(tmp_path, command):
    # Lines of any length, as the frame has it; readline sets COLUMNS behind Python's back.
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    program = tmp_path / "qualys-cloud-agent"
    program.write_text("import time\ntime.sleep(60)\n")
    with subprocess.Popen([sys.executable, str(program)]) as daemon:
        try:
            said = [
                subprocess.run(
                    argv, capture_output=True, text=True, check=True, timeout=30, env=environment
                ).stdout
                for argv in (command, OWN_MOUNTS, OWN_SPACE)
            ]
        finally:
            daemon.kill()
    found = parse_contained(*said)
    assert daemon.pid in found.daemons
    assert Path(
        parse_contained(said[0].replace(f" {daemon.pid} ", " 0 "), *said[1:]).program or "/"
    ).is_absolute()
