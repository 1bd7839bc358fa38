"""Pods by the real kubectl: found, looked into, refused, lost. No verdict where nothing could be seen."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from qualys_verify.backends import Deadline
from qualys_verify.cluster import settle
from qualys_verify.kubectl import Forbidden, current_context
from qualys_verify.reasons import Gone, Interrupted, TimedOut, Unreachable
from qualys_verify.standin.pods import Trait
from qualys_verify.targets import TargetError, refuse_twins, select
from qualys_verify.transport import SshSettings, connect
from tests.containers.conftest import DEFAULTS, deadline


def targets_of(c, query="", cluster="c", seconds=20.0):
    """What `kubectl://*` stands for in a cluster."""
    spec = f"kubectl://*?kubeconfig={c.kubeconfig}&context={cluster}{query}"
    return settle((), select([spec]).pods, DEFAULTS, deadline(seconds))


def says(way, *commands):
    return [reply.stdout.strip() for reply in way.run(commands)]


# --- found -----------------------------------------------------------------------------------------------


def test_a_target_for_each_pod_named_by_node_and_pod(standin):
    c = standin(2)
    found = targets_of(c)
    assert [target.id for target in found] == [
        f"kubectl://ip-192-0-2-{n}.ec2.internal/agent-{n}?namespace=qualys-agent&context=c" for n in (1, 2)
    ]
    facts = dict(found[0].facts)
    assert facts["DaemonSet"] == "qualys-cloud-agent: 2 desired, 2 ready, 2 available"
    assert facts["node's system"].startswith("Bottlerocket OS")


def test_five_hundred_pods_in_pages(standin):
    c = standin(500, delay=60.0)
    found = targets_of(c)
    assert len({target.id for target in found}) == 500
    assert len(c.asked("list", "pods")) == 5


def test_context_and_namespace_are_always_named(standin, tmp_path, monkeypatch):
    """Another shell may change the current context in the middle of a run."""
    c = standin()
    log = tmp_path / "argv"
    real = os.environ["PATH"]
    wrapper = tmp_path / "bin/kubectl"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>{log}\nPATH={real} exec kubectl "$@"\n')
    wrapper.chmod(0o700)
    monkeypatch.setenv("PATH", str(wrapper.parent), prepend=":")
    specs = select([f"kubectl://*?kubeconfig={c.kubeconfig}"])
    (target,) = settle((), specs.pods, DEFAULTS, deadline())
    way = connect(target, SshSettings(tmp_path), deadline(), 0)
    way.run(["true"])
    way.close()
    first, *rest = log.read_text().splitlines()
    assert first.endswith("config current-context")
    assert rest
    assert all("--context=c --namespace=qualys-agent " in line for line in rest)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (
            "&selector=name=qualys-cloud-agnet",
            "finds no pod with name=qualys-cloud-agnet in namespace qualys-agent",
        ),
        ("&namespace=qualys", "finds no pod with name=qualys-cloud-agent in namespace qualys of cluster c"),
    ],
)
def test_a_selection_that_finds_nothing_is_an_error(standin, query, sentence):
    with pytest.raises(TargetError, match=sentence):
        targets_of(standin(), query)


def test_a_wrong_context_is_an_error_of_what_cannot_be_seen(standin):
    (target,) = targets_of(standin(), cluster="prodd")
    assert "the kubeconfig has no such context" in target.unseen


def test_a_kubeconfig_that_is_not_there_is_an_error(tmp_path):
    spec = f"kubectl://*?kubeconfig={tmp_path / 'none'}&context=c"
    with pytest.raises(TargetError, match=r"there is no kubeconfig .*/none: name an existing file"):
        settle((), select([spec]).pods, DEFAULTS, deadline())


def test_a_kubeconfig_without_credentials_is_said_and_nobody_is_asked_for_a_password(standin, tmp_path):
    c = standin()
    config = json.loads(Path(c.kubeconfig).read_text())
    config["users"][0]["user"] = {}
    (tmp_path / "nobody").write_text(json.dumps(config))
    spec = f"kubectl://*?kubeconfig={tmp_path / 'nobody'}&context=c"
    (target,) = settle((), select([spec]).pods, DEFAULTS, deadline())
    assert "the cluster does not know who asks" in target.unseen


def test_the_id_of_a_node_without_a_pod_is_no_spec_and_says_what_is():
    with pytest.raises(TargetError, match=r"had no agent pod.*kubectl://\* looks whether it has one now"):
        select(["kubectl://n1/no-pod?namespace=q&context=c"])


@pytest.mark.usefixtures("kubectl")
def test_without_kubectl_and_without_a_context_the_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (tmp_path / "empty").write_text("{}")
    with pytest.raises(TargetError, match="no Kubernetes context is chosen"):
        settle((), select([f"kubectl://*?kubeconfig={tmp_path / 'empty'}"]).pods, DEFAULTS, deadline())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="kubectl is not installed"):
        settle((), select(["kubectl://*"]).pods, DEFAULTS, deadline())


@pytest.mark.usefixtures("kubectl")
def test_inside_a_cluster_no_context_is_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert current_context(None, deadline()) is None


def test_contexts_of_one_name_in_two_files_are_two_clusters(standin):
    first, second = standin(1, c=Trait(refuse={"*": 401})), standin(1, c=Trait(refuse={"*": 401}))
    specs = [f"kubectl://*?kubeconfig={c.kubeconfig}" for c in (first, second)]
    found = settle((), select(specs).pods, DEFAULTS, deadline())
    assert len({target.id for target in found}) == 2
    refuse_twins(found)
    with pytest.raises(TargetError, match="is named twice"):
        refuse_twins(settle((), select([specs[0], specs[0]]).pods, DEFAULTS, deadline()))


def test_a_contexts_name_is_no_markup(standin, tmp_path):
    c = standin()
    config = json.loads(Path(c.kubeconfig).read_text())
    config["contexts"][0]["name"] = config["current-context"] = "<svg/onload=alert(1)> \x1b[31m"
    (tmp_path / "odd").write_text(json.dumps(config))
    (target,) = settle((), select([f"kubectl://*?kubeconfig={tmp_path / 'odd'}"]).pods, DEFAULTS, deadline())
    assert target.absent == target.unseen == ""
    assert "<" not in target.id
    assert target.id.isprintable()


# --- refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refuse", "rule"),
    [
        (
            {"list pods": 403},
            'allow to list pods: a Role in namespace qualys-agent needs the rule {apiGroups: [""], resources: ["pods"], verbs: ["list"]}',
        ),
        (
            {"get daemonsets": 403},
            'allow to get daemonsets: a Role in namespace qualys-agent needs the rule {apiGroups: ["apps"], resources: ["daemonsets"], verbs: ["get"]}',
        ),
        ({"*": 401}, "does not know who asks"),
        ({"list pods": 500}, "has trouble of its own"),
    ],
    ids=["pods", "daemonsets", "token", "trouble"],
)
def test_a_cluster_that_refuses_is_one_target_of_which_nothing_can_be_seen(standin, enter, refuse, rule):
    c = standin(c=Trait(refuse=refuse))
    (target,) = targets_of(c)
    assert rule in target.unseen
    with pytest.raises(Unreachable) as error:
        enter(target).run(["true"])
    assert str(error.value).startswith(target.id)
    assert rule in str(error.value)


def test_without_the_right_to_list_nodes_missing_ones_have_no_names(standin):
    c = standin(c=Trait(refuse={"list nodes": 403}, lacking=True))
    (target,) = targets_of(c)
    assert target.id.startswith("kubectl://unknown-node-1/")
    assert "no agent pod on a node that should have one" in target.absent
    assert (
        'a ClusterRole needs the rule {apiGroups: [""], resources: ["nodes"], verbs: ["list"]}'
        in target.absent
    )


@pytest.mark.parametrize(
    ("refuse", "rule"),
    [
        ("create pods/exec", 'resources: ["pods/exec"], verbs: ["create"]'),
        ("get pods", 'resources: ["pods"], verbs: ["get"]'),
    ],
)
def test_a_pod_that_may_not_be_entered_names_the_rule(standin, enter, refuse, rule):
    (target,) = targets_of(standin(c=Trait(refuse={refuse: 403})))
    with pytest.raises(Unreachable) as error:
        enter(target).run(["true"])
    assert str(error.value).startswith(target.id)
    assert rule in str(error.value)


# --- looked into -----------------------------------------------------------------------------------------


def test_one_shell_for_all_that_is_run_in_a_pod(standin, enter):
    c = standin()
    (target,) = targets_of(c)
    way = enter(target)
    assert says(way, "hostname", "exit 3") == ["agent-1", ""]
    first = says(way, "echo $PPID", "cat /etc/qualys/hostid")
    assert first[1].startswith("decafbad-")
    assert says(way, "echo $PPID")[0] == first[0]  # the shell that made both subshells is the same
    assert len(c.asked("create", "pods/exec")) == 1
    assert way.container.facts[0] == ("container", "qualys-cloud-agent-container")


def test_a_script_in_the_shell_leaves_nothing_behind_for_the_next(standin, enter):
    way = enter(targets_of(standin())[0])
    says(way, "X=left; export X; cd /tmp; umask 0")
    assert says(way, 'echo "<$X>"; pwd | grep -c ^/tmp$') == ["<>\n0"]


def test_a_command_that_hangs_ends_its_shell_and_the_next_gets_another(standin, enter):
    c = standin()
    way = enter(targets_of(c)[0], seconds=8)
    assert says(way, "echo a") == ["a"]
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"agent-1.*no answer within 8 s"):
        way.run(["sleep 60"])
    assert time.monotonic() - started < 14
    assert says(way, "echo b") == ["b"]
    assert len(c.asked("create", "pods/exec")) == 2


def test_an_interrupted_run_waits_for_no_pod(standin, enter):
    stop = threading.Event()
    way = enter(targets_of(standin())[0], interrupted=stop)
    says(way, "true")
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Interrupted):
        way.run(["sleep 60"])
    way.close()
    assert time.monotonic() - started < 5


def test_a_cluster_that_answers_slowly_answers(standin, enter):
    way = enter(targets_of(standin(c=Trait(slow=0.3)))[0])
    assert says(way, "hostname") == ["agent-1"]


def test_a_cluster_that_never_answers_is_not_waited_for(standin):
    started = time.monotonic()
    (target,) = targets_of(standin(c=Trait(slow=60)), seconds=1.5)
    assert time.monotonic() - started < 10
    # Ours or kubectl's own limit, whichever comes first.
    assert "no answer within 1.5 s" in target.unseen or "the cluster does not answer" in target.unseen


def test_the_search_ends_when_the_runs_time_is_over_however_many_commands_it_takes(standin):
    """Each of them would answer in time."""
    c = standin(c=Trait(slow=1))
    spec = f"kubectl://*?kubeconfig={c.kubeconfig}&context=c"
    started = time.monotonic()
    limit = Deadline(20, threading.Event(), ends=started + 3)
    found = settle((), select([spec, f"{spec}&daemonset=other"]).pods, DEFAULTS, limit)
    assert time.monotonic() - started < 5
    assert [target.unseen.rpartition(": ")[2] for target in found] == [
        "the run's time (--deadline) is over"
    ] * 2


def test_a_container_without_a_shell_is_named(standin, enter):
    (target,) = targets_of(standin())
    way = enter(target)
    way._engine.shell = lambda: way._engine.cluster.argv("exec", "-i", "agent-1", "--", "/bin/none")
    with pytest.raises(Unreachable, match="has no /bin/sh"):
        way.run(["true"])


# --- lost ------------------------------------------------------------------------------------------------


def lose(c, way, wish, cluster="c"):
    """Have a pod lost while a command runs in it; returns what the transport raises."""
    says(way, "true")
    timer = threading.Timer(0.7, c.wish, ("agent-1", wish, cluster))
    timer.start()
    with pytest.raises(Unreachable) as error:
        way.run(["sleep 20"])
    timer.join()
    return error.value


def test_a_connection_that_is_lost_is_lost_and_the_next_look_has_another(standin, enter):
    c = standin()
    way = enter(targets_of(c)[0])
    reason = lose(c, way, "hang-up")
    assert not isinstance(reason, Gone)
    assert "was lost while `sleep 20` ran" in str(reason)
    assert says(way, "hostname") == ["agent-1"]


def test_a_connection_that_is_lost_between_two_looks_is_opened_again(standin, enter):
    c = standin()
    way = enter(targets_of(c)[0])
    says(way, "true")
    c.wish("agent-1", "hang-up")
    time.sleep(1.5)
    assert says(way, "hostname") == ["agent-1"]


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (
            "delete",
            "there is no pod agent-1 in namespace qualys-agent of cluster c: it was deleted or moved while it was looked at",
        ),
        (
            "reschedule",
            "it was deleted or moved while it was looked at, and what was asked of the agent may be lost: run again",
        ),
        (
            "restart",
            "its container was restarted or replaced (OOMKilled, exit status 137) while it was looked at",
        ),
    ],
)
def test_a_pod_that_goes_in_the_middle_is_named_as_such_and_stays_so(standin, enter, wish, sentence):
    c = standin()
    way = enter(targets_of(c)[0])
    reason = lose(c, way, wish)
    assert isinstance(reason, Gone)
    assert sentence in str(reason)
    with pytest.raises(Gone):
        way.run(["true"])


def test_a_node_that_is_lost_in_the_middle_is_said(standin, enter):
    c = standin()
    way = enter(targets_of(c)[0])
    reason = lose(c, way, "lose-node")
    assert not isinstance(reason, Gone)  # it may come back
    assert "the pod is Running and not ready: NodeNotReady; node ip-192-0-2-1" in str(reason)
    (target,) = targets_of(c)
    assert dict(target.facts)["node's state"] == "NotReady (NodeStatusUnknown)"


def test_a_pod_that_is_just_being_replaced_is_no_missing_one(standin):
    c = standin()
    c.wish("agent-1", "reschedule")
    while (c.root("agent-1") / "run/reschedule").exists():
        time.sleep(0.02)
    (target,) = targets_of(c)
    assert (target.name, target.absent) == ("agent-1-2", "")
    assert len(c.asked("list", "pods")) == 2


def test_a_pod_that_is_gone_before_it_is_entered(standin, enter):
    c = standin()
    (target,) = targets_of(c)
    c.wish("agent-1", "delete")
    time.sleep(0.5)
    with pytest.raises(Unreachable, match=r"there is no pod agent-1 in namespace qualys-agent of cluster c$"):
        enter(target).run(["true"])


def test_a_pod_that_is_not_ready_is_not_entered(standin, enter):
    waits = {
        "container": {"ready": False, "state": {"running": None, "waiting": {"reason": "CrashLoopBackOff"}}}
    }
    c = standin(c=Trait(pod=waits))
    (target,) = targets_of(c)
    with pytest.raises(Unreachable, match=r"its container waits: CrashLoopBackOff; node ip-192-0-2-1"):
        enter(target).run(["true"])
    assert c.asked("create", "pods/exec") == []


def test_a_forbidden_look_is_a_kind_of_unreachable():
    assert issubclass(Forbidden, Unreachable)
