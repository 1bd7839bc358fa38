"""What an engine or a cluster says of a container, read."""

import json
from datetime import timedelta

import pytest

from qualys_verify.agent.container import (
    Absence,
    ContainedAgent,
    ContainedProcesses,
    Container,
    parse_inspect,
    parse_pod,
)
from tests.containers.objects import IMAGE_ID, NOW, USUAL, inspected, pod

OOM = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}


def read(found, wanted=None):
    return parse_pod(json.dumps(found), wanted, USUAL, NOW)


def test_a_pod_that_runs_and_is_ready():
    found = read(pod(own={"restartCount": 2, "lastState": OOM}))
    assert (found.trouble, found.name, found.node, found.phase) == ("", USUAL, "n1", "Running")
    assert (found.restarts, found.running_for, found.ended) == (
        2,
        timedelta(hours=2),
        "OOMKilled, exit status 137",
    )
    assert (found.image, found.image_id, found.boot) == (
        "registry.example/agent:6.1",
        IMAGE_ID,
        "starts at boot",
    )
    assert str(found) == "running and ready for 2 h, 2 restarts, last end: OOMKilled, exit status 137"


@pytest.mark.parametrize(
    ("found", "trouble"),
    [
        (pod(metadata={"deletionTimestamp": "2026-03-23T11:59:00Z"}), "the pod is being deleted"),
        (
            pod(
                own={
                    "ready": False,
                    "state": {
                        "running": None,
                        "waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"},
                    },
                    "lastState": OOM,
                },
            ),
            "the pod is Running, its container waits: CrashLoopBackOff (back-off 5m0s), last end: OOMKilled, exit status 137",
        ),
        (
            pod(
                status={"phase": "Pending"},
                own={"ready": False, "state": {"running": None, "waiting": {"reason": "ImagePullBackOff"}}},
            ),
            "the pod is Pending, its container waits: ImagePullBackOff",
        ),
        (
            pod(
                own={
                    "ready": False,
                    "state": {"running": None, "terminated": {"reason": "Error", "exitCode": 1}},
                }
            ),
            "the pod is Running, its container has ended: Error, exit status 1",
        ),
        (
            pod(
                status={
                    "phase": "Pending",
                    "containerStatuses": None,
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/3 nodes are available",
                        }
                    ],
                }
            ),
            "the pod is Pending: Unschedulable (0/3 nodes are available)",
        ),
        (
            pod(status={"phase": "Failed", "reason": "Evicted", "containerStatuses": None}),
            "the pod is Failed: Evicted",
        ),
        (pod(status={"phase": None, "containerStatuses": None}), "the pod is Unknown"),
        (
            pod(
                status={"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}
            ),
            "the pod is Running and not ready: ContainersNotReady",
        ),
        (pod(own={"ready": False}), "the pod is Running and not ready"),
        (pod(status={"containerStatuses": None}), "the pod is Running and not ready"),
        (pod(status={"containerStatuses": None, "conditions": None}), "the pod is Running and not ready"),
    ],
)
def test_a_pod_that_is_not_says_why(found, trouble):
    assert read(found).trouble == trouble


def test_what_a_cluster_says_moves_no_cursor():
    waiting = {"reason": "Err\x1b[2J", "message": "a\u202eb"}
    found = read(
        pod(own={"ready": False, "state": {"running": None, "waiting": waiting}, "image": "a\x1b[31m"})
    )
    assert str(found).isprintable()
    assert found.image.isprintable()


def test_only_a_pod_that_is_deleted_is_leaving():
    assert read(pod(metadata={"deletionTimestamp": "2026-03-23T11:59:00Z"})).is_leaving
    assert not read(pod(own={"ready": False})).is_leaving


def test_which_container_is_meant():
    sidecar = {"name": "sidecar", "image": "s"}
    both = pod(spec={"containers": [sidecar, {"name": USUAL, "image": "agent"}]})
    assert read(both).name == USUAL
    assert read(both, "sidecar").name == "sidecar"
    assert read(pod(container="agent")).name == "agent"
    with pytest.raises(ValueError, match="no container 'agnet', it has agent: name one with container="):
        read(pod(container="agent"), "agnet")
    with pytest.raises(
        ValueError, match="no container 'qualys-cloud-agent-container', it has agent, sidecar"
    ):
        read(pod(container="agent", spec={"containers": [{"name": "agent", "image": "a"}, sidecar]}))


def test_another_container_or_another_pod_of_the_name_is_another_instance():
    first = read(pod()).instance
    assert read(pod(own={"restartCount": 0})).instance == first
    assert read(pod(own={"containerID": "containerd://f00d"})).instance != first
    assert read(pod(metadata={"uid": "another"})).instance != first


def test_a_pod_that_is_not_started_again_does_not_start_at_boot():
    assert read(pod(spec={"restartPolicy": "Never"})).boot == "does not start at boot: restartPolicy Never"
    assert read(pod(spec={"restartPolicy": None})).boot == "starts at boot"


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"metadata": {}, "spec": {}}', '{"kind": "Status"}', "<html>"]
)
def test_what_is_no_pod_is_said(text):
    with pytest.raises(ValueError, match=r"answer is no pod"):
        parse_pod(text, None, USUAL, NOW)


# --- plain containers ------------------------------------------------------------------------------------


def seen(**changes):
    return parse_inspect(json.dumps([inspected(**changes)]), NOW)


def test_a_plain_container_that_runs():
    found = seen()
    assert (found.trouble, found.name, found.boot, found.is_machine) == ("", "agent", "starts at boot", False)
    assert (found.running_for.total_seconds(), found.image, found.image_id) == (
        7200,
        "agent:6.1",
        "sha256:" + "ab" * 32,
    )


@pytest.mark.parametrize(
    ("state", "trouble"),
    [
        ({"Paused": True, "Status": "paused"}, "the container is paused"),
        (
            {"Running": False, "Status": "exited", "OOMKilled": True, "ExitCode": 137},
            "the container does not run, it is exited (OOMKilled, exit status 137): start it, or look why it ended",
        ),
        (
            {"Restarting": True, "Status": "restarting", "ExitCode": 1},
            "the container does not run, it is restarting (exit status 1): start it, or look why it ended",
        ),
        (
            {"Running": False, "Status": "created", "FinishedAt": None},
            "the container does not run, it is created: start it, or look why it ended",
        ),
        ({"Health": {"Status": "unhealthy"}}, "the container is not ready: its health check says unhealthy"),
        (
            {"Healthcheck": {"Status": "starting"}},
            "the container is not ready: its health check says starting",
        ),
        ({"Health": {"Status": "healthy"}}, ""),
        ({"Healthcheck": {"Status": ""}}, ""),
    ],
)
def test_a_plain_container_that_is_not_ready_says_why(state, trouble):
    assert seen(State=state).trouble == trouble


@pytest.mark.parametrize(
    ("host", "labels", "boot"),
    [
        ({"RestartPolicy": {"Name": "unless-stopped"}}, {}, "starts at boot"),
        ({"RestartPolicy": {"Name": "no"}}, {}, None),
        ({"RestartPolicy": {"Name": "on-failure"}}, {}, None),
        (
            {"RestartPolicy": {"Name": ""}},
            {"PODMAN_SYSTEMD_UNIT": "container-agent.service"},
            "starts at boot",
        ),
        ({"RestartPolicy": None}, {}, None),
    ],
)
def test_what_starts_it_after_a_reboot(host, labels, boot):
    assert seen(HostConfig=host, Config={"Labels": labels}).boot == boot


def test_a_container_with_an_init_system_of_its_own_is_a_machine():
    assert seen(Path="/usr/lib/systemd/systemd").is_machine
    assert seen(Path="/sbin/init").is_machine
    assert not seen(Path="/sbin/init", HostConfig={"PidMode": "host"}).is_machine


def test_a_restart_is_another_instance_and_tells_how_it_ended():
    assert seen().instance != seen(RestartCount=1).instance
    assert seen().instance != seen(State={"StartedAt": "2026-03-23T11:00:00Z"}).instance
    assert (seen().ended, seen(RestartCount=1, State={"ExitCode": 3}).ended) == ("", "exit status 3")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[{}]", "[[]]", "null"])
def test_what_is_no_container_is_said(text):
    with pytest.raises(ValueError, match=r"answer is no container"):
        parse_inspect(text, NOW)


# --- the agent in it -------------------------------------------------------------------------------------


def agent(daemons=(7,), *, has_program=True, **changes):
    values = {
        "trouble": "",
        "restarts": 0,
        "running_for": timedelta(hours=2),
        "ended": "",
        "boot": "starts at boot",
    }
    container = Container(name="c", instance="i", image="", image_id="", **(values | changes))
    return ContainedAgent(container, ContainedProcesses(tuple(daemons)), has_program)


def test_an_agent_that_runs_in_its_container():
    found = agent()
    assert (found.presence, found.state, found.stability, found.boot) == (
        "installed",
        "running and ready",
        "stable",
        "starts at boot",
    )


def test_a_container_without_the_agents_process_is_not_running_and_ready():
    assert agent(daemons=()).state == "running and ready, without the agent's process"
    assert agent(daemons=()).is_installed
    assert agent(trouble="the container is paused").state == "the container is paused"


def test_neither_program_nor_process_is_no_agent():
    assert agent(daemons=(), has_program=False).presence == "no agent in this container"
    assert agent(has_program=False).is_installed


@pytest.mark.parametrize(
    ("restarts", "age", "stability"),
    [
        (3, timedelta(minutes=9), "crash loop"),
        (3, None, "crash loop"),
        (3, timedelta(minutes=10), "stable"),
        (2, timedelta(seconds=1), "stable"),
    ],
)
def test_a_crash_loop_is_measured_as_a_units(restarts, age, stability):
    assert agent(restarts=restarts, running_for=age).stability.startswith(stability)


def test_an_absent_agent_is_never_installed():
    assert Absence("no pod on n1").presence != "installed"
    assert not Absence("no pod on n1").is_installed
