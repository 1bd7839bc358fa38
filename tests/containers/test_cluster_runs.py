"""Whole runs on stand-in clusters by the real kubectl: verdicts, exit status, what is asked and what stays behind."""

import json
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from qualys_verify.standin.pods import CONTAINER, Trait
from tests.plugin.conftest import Running

FAST = ("--poll-interval=0.3", "--poll-timeout=6")


@pytest.fixture
def start(tmp_path_factory):
    return lambda *arguments, **environment: Running(tmp_path_factory.mktemp("run"), arguments, environment)


@pytest.fixture
def run(start):
    return lambda *arguments, **environment: start(*arguments, **environment).end()


def hosts(c, query=""):
    return f"--hosts=kubectl://*?kubeconfig={c.kubeconfig}&context=c{query}"


def requests(c, pod):
    path = c.root(pod) / "var/lib/standin/requests.log"
    return Counter(line.split()[2] for line in path.read_text().splitlines()) if path.exists() else Counter()


def kinds(ran, of=""):
    return {name.partition("[")[0]: kind for name, kind in ran.rows.items() if of in name}


def test_a_healthy_cluster_ends_green_with_one_request_of_each_type_and_one_shell_for_each_pod(standin, run):
    c = standin(2)
    ran = run(hosts(c), *FAST)
    assert ran.status == 0, ran.out
    assert ran.outcomes == {"passed": 34, "skipped": 4}
    assert [requests(c, f"agent-{n}") for n in (1, 2)] == [Counter(["type=vm", "type=inv"])] * 2
    assert len(c.asked("create", "pods/exec")) == 2
    asked_for = [
        line for n in (1, 2) for line in (c.root(f"agent-{n}") / "asked-for").read_text().splitlines()
    ]
    assert not [line for line in asked_for if "systemctl" in line or "sudo" in line]
    report = ran.report.read_text()
    assert "qualys-cloud-agent: 2 desired, 2 ready, 2 available" in report
    assert "registry.example/qualys-cloud-agent:0.0.0" in report
    assert ran.left_behind == []


def test_a_node_that_lacks_the_agent_is_non_compliant_and_named(standin, run):
    c = standin(2)
    c.wish("agent-2", "delete")
    time.sleep(0.7)
    ran = run(hosts(c), "--read-only")
    assert ran.status == 1
    lost = kinds(ran, of="ip-192-0-2-2.ec2.internal/no-pod")
    assert lost.pop("test_unit_exists") == "failure"
    assert set(lost.values()) == {"error"}
    assert set(kinds(ran, of="agent-1").values()) == {"passed", "skipped"}
    assert "no agent pod on node ip-192-0-2-2.ec2.internal, which should have one" in " ".join(
        ran.out.split()
    )


def test_a_part_of_the_runbook_does_not_hide_a_node_that_lacks_the_agent(standin, run):
    ran = run(hosts(standin(c=Trait(lacking=True))), "-k", "activity")
    assert (ran.status, set(ran.outcomes)) == (6, {"error"})


@pytest.mark.parametrize("query", ["&selector=name=qualys-cloud-agnet", "&namespace=qualys"])
def test_a_selection_that_finds_nothing_ends_4_with_one_sentence(standin, run, query):
    c = standin()
    ran = run(hosts(c, query), *FAST)
    assert ran.status == 4
    assert ran.err.strip().startswith("ERROR: kubectl://*?")
    assert "finds no pod" in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert c.asked("create", "pods/exec") == []


@pytest.mark.parametrize(
    ("refuse", "sentence"),
    [
        ({"*": 401}, "does not know who asks"),
        ({"list pods": 403}, 'resources: ["pods"], verbs: ["list"]'),
        ({"create pods/exec": 403}, 'resources: ["pods/exec"], verbs: ["create"]'),
    ],
    ids=["401", "list", "exec"],
)
def test_a_cluster_that_refuses_is_inconclusive(standin, run, refuse, sentence):
    ran = run(hosts(standin(c=Trait(refuse=refuse))), *FAST)
    assert (ran.status, ran.outcomes) == (6, {"error": 19})
    assert sentence in ran.report.read_text().replace("&#34;", '"').replace("&quot;", '"')


def test_what_is_only_collected_enters_no_pod(standin, run):
    c = standin()
    ran = run(hosts(c), "--collect-only", "-q")
    assert "agent-1" in ran.out
    assert c.asked("create", "pods/exec") == []


def test_what_is_only_collected_of_a_cluster_that_refuses_says_so(standin, run):
    ran = run(hosts(standin(c=Trait(refuse={"*": 401}))), "--collect-only")
    assert "context=c: " in ran.out
    assert "does not know who asks" in ran.out


def test_the_users_scan_types_count_in_containers_too(standin, run):
    c = standin()
    assert run(hosts(c), *FAST, "--scan-type=vm,pc").status == 0
    assert requests(c, "agent-1") == Counter(["type=vm", "type=pc"])


def test_only_looking_asks_the_agent_for_nothing(standin, run):
    c = standin()
    assert run(hosts(c), "--read-only").status == 0
    assert requests(c, "agent-1") == Counter()


def test_an_interrupted_run_leaves_no_client_behind(standin, start):
    c = standin(delay=60.0)
    running = start(hosts(c), "--poll-interval=1", "--poll-timeout=60")
    until = time.monotonic() + 30
    while not requests(c, "agent-1")["type=inv"] and time.monotonic() < until:
        time.sleep(0.1)
    running.interrupt()
    ran = running.end()
    assert ran.status == 2
    assert kinds(ran)["test_vulnerability_scan_was_executed"] == "error"
    assert ran.left_behind == []


def test_neither_the_token_nor_what_stands_in_a_pods_environment_is_shown(standin, run):
    secret = "activation-of-somebody"  # noqa: S105  # none
    env = [{"name": CONTAINER, "image": "agent", "env": [{"name": "ACTIVATION_ID", "value": secret}]}]
    c = standin(c=Trait(pod={"spec": {"containers": env}}))
    token = json.loads(Path(c.kubeconfig).read_text())["users"][0]["user"]["token"]
    ran = run(hosts(c), *FAST, "-vv")
    assert ran.status == 0
    files = [path for path in ran.folder.rglob("*") if path.is_file()]
    assert files
    said = [ran.out, ran.err, *(path.read_text(errors="replace") for path in files)]
    assert not any(token in text or secret in text for text in said)


def test_the_demo_of_bottlerocket_ends_green(kubectl, run):  # noqa: ARG001  # skips without it
    ran = run("--hosts=demo://bottlerocket?hosts=2&delay=0.5")
    assert ran.status == 0, ran.out
    assert ran.outcomes == {"passed": 34, "skipped": 4}
    assert "demo://ip-192-0-2-1.ec2.internal/qualys-cloud-agent-7h2kq1" in ran.out
    assert ran.left_behind == []


def test_a_demo_that_is_only_collected_is_ended_as_well(kubectl, run):  # noqa: ARG001  # skips without it
    ran = run("--hosts=demo://bottlerocket", "--collect-only", "-q")
    assert ran.status == 0
    assert ran.left_behind == []


def test_without_kubectl_the_demo_is_one_line_that_says_so(run, tmp_path):
    (tmp_path / "ssh").symlink_to("/bin/true")
    ran = run("--hosts=demo://bottlerocket", PATH=str(tmp_path))
    assert ran.status == 4
    assert ran.err.strip().startswith(
        "ERROR: this demo shows clusters to your own kubectl, and there is none"
    )
    assert len(ran.err.strip().splitlines()) == 1
    assert ran.left_behind == []


def test_a_pod_by_its_name_needs_only_that(standin, run):
    c = standin(2)
    ran = run("--hosts=kubectl://agent-2", f"--kubeconfig={c.kubeconfig}", "--read-only")
    assert ran.status == 0
    assert all("[kubectl://agent-2?namespace=qualys-agent&context=c]" in name for name in ran.rows)


def test_what_failed_on_a_pod_that_was_replaced_is_not_forgotten(standin, run):
    """Pytest would leave it out, or run everything again where nothing else had failed."""
    c = standin(c=Trait(pod={"metadata": {"deletionTimestamp": "2026-03-23T11:59:00Z"}}))
    first = run(hosts(c), "--read-only")
    assert first.status == 6
    again = ("--lf", "-o", f"cache_dir={first.folder}/cache")
    assert run(hosts(c), "--read-only", *again).status == 6  # the same pod: as ever
    c.wish("agent-1", "reschedule")
    until = time.monotonic() + 20
    while "agent-1-2" not in c.kubectl("get", "pods", "-o", "name").stdout and time.monotonic() < until:
        time.sleep(0.1)
    ran = run(hosts(c), *again)
    assert ran.status == 4
    assert (
        "agent-1?namespace=qualys-agent&context=c failed before, and its node has another pod now" in ran.err
    )
    assert "agent-1-2?" in ran.err
    assert requests(c, "agent-1") == Counter()


def test_a_cluster_by_two_contexts_is_triggered_once(standin, run, tmp_path):
    c = standin()
    config = json.loads(Path(c.kubeconfig).read_text())
    config["contexts"].append(config["contexts"][0] | {"name": "again"})
    (tmp_path / "twice").write_text(json.dumps(config))
    both = ",".join(f"kubectl://*?kubeconfig={tmp_path / 'twice'}&context={name}" for name in ("c", "again"))
    ran = run(f"--hosts={both}", *FAST)
    assert ran.status == 6
    assert requests(c, "agent-1") == Counter(["type=vm", "type=inv"])
    assert "is the same machine as" in " ".join(ran.out.split())


def test_a_login_program_that_hangs_is_ended(standin, run, tmp_path):
    c = standin()
    config = json.loads(Path(c.kubeconfig).read_text())
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/sh",
        "args": ["-c", "echo open https://login.example >&2; exec sleep 4711"],
        "interactiveMode": "IfAvailable",
    }
    config["users"] = [user | {"user": {"exec": plugin}} for user in config["users"]]
    (tmp_path / "slow").write_text(json.dumps(config))
    spec = f"--hosts=kubectl://*?kubeconfig={tmp_path / 'slow'}&context=c"
    started = time.monotonic()
    ran = run(spec, "--read-only", "--command-timeout=2")
    assert ran.status == 6
    assert time.monotonic() - started < 20
    assert ran.left_behind == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_an_interrupted_search_for_pods_ends_the_run_and_its_client(standin, start, how):
    c = standin(c=Trait(slow=3))
    running = start(hosts(c), "--read-only")
    until = time.monotonic() + 30
    while not c.asked() and time.monotonic() < until:  # the first answer, and the next is waited for
        time.sleep(0.1)
    running.interrupt(how)
    ran = running.end()
    assert ran.status == 2
    assert ran.left_behind == []


def test_the_search_for_pods_does_not_outlast_the_deadline(standin, run):
    c = standin(c=Trait(slow=60))
    started = time.monotonic()
    ran = run(hosts(c), "--read-only", "--deadline=3")
    assert ran.status in {2, 6}
    assert time.monotonic() - started < 20


def test_an_id_that_a_report_shows_is_a_spec(standin, run):
    c = standin(2)
    spec = "kubectl://ip-192-0-2-2.ec2.internal/agent-2?namespace=qualys-agent&context=c"
    ran = run(f"--hosts={spec}", "--read-only", KUBECONFIG=c.kubeconfig)
    assert ran.status == 0
    assert set(ran.outcomes) == {"passed", "skipped"}
