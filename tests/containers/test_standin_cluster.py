"""The stand-in cluster, asked by the real kubectl: it must answer as a cluster does."""

import json
import subprocess
import time
from pathlib import Path

from qualys_verify.standin.pods import Trait


def test_it_lists_gets_and_describes_what_is_there(standin):
    c = standin(2)
    assert c.kubectl("get", "pods", "-o", "name").stdout.split() == ["pod/agent-1", "pod/agent-2"]
    assert c.kubectl("get", "nodes", "-o", "name").stdout.split()[0] == "node/ip-192-0-2-1.ec2.internal"
    counts = c.kubectl("get", "ds", "qualys-cloud-agent", "-o", "jsonpath={.status.desiredNumberScheduled}")
    assert counts.stdout == "2"
    assert c.kubectl("get", "pods", "-l", "name=other", "-o", "name").stdout == ""
    assert c.kubectl("get", "pods", "-l", "name!=other", "-o", "name").stdout.split()[0] == "pod/agent-1"
    assert 'pods "nobody" not found' in c.kubectl("get", "pod", "nobody").stderr
    assert c.kubectl("get", "pods", "-n", "elsewhere", "-o", "name").stdout == ""


def test_exec_passes_streams_and_status_on(standin):
    c = standin()
    done = c.kubectl(
        "exec", "-i", "agent-1", "--", "/bin/sh", "-c", "cat; echo err >&2; exit 7", input="typed\n"
    )
    assert (done.stdout, done.returncode) == ("typed\n", 7)
    assert done.stderr.startswith("err\n")
    assert c.kubectl("exec", "agent-1", "--", "hostname").stdout == "agent-1\n"
    assert "OCI runtime exec failed" in c.kubectl("exec", "agent-1", "--", "/no/such").stderr
    assert "not valid for pod" in c.kubectl("exec", "agent-1", "-c", "other", "--", "true").stderr
    big = c.kubectl("exec", "agent-1", "--", "/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
    assert len(big.stdout) == 3_000_000


def test_a_client_sees_the_agents_files_where_a_pod_has_them(standin):
    c = standin()
    done = c.kubectl("exec", "agent-1", "--", "ls", "/etc/qualys", "/usr/local/qualys/cloud-agent/bin")
    assert done.stdout.split()[:2] == ["/etc/qualys:", "cloud-agent"]
    assert "cloudagentctl.sh" in done.stdout
    said = c.kubectl(
        "exec", "agent-1", "--", "/bin/sh", "-c", "ps -eo args | grep qualys-cloud-agent$"
    ).stdout
    assert said == "/usr/local/qualys/cloud-agent/bin/qualys-cloud-agent\n"


def test_a_wrong_token_or_certificate_is_refused(standin, tmp_path):
    c = standin()
    config = json.loads(Path(c.kubeconfig).read_text())
    config["users"][0]["user"]["token"] = tmp_path.name
    (tmp_path / "wrong").write_text(json.dumps(config))
    done = c.kubectl("get", "pods", f"--kubeconfig={tmp_path / 'wrong'}")
    assert done.returncode
    assert "Unauthorized" in done.stderr or "logged in" in done.stderr
    config["clusters"][0]["cluster"].pop("certificate-authority-data")
    (tmp_path / "wrong").write_text(json.dumps(config))
    assert "x509" in c.kubectl("get", "pods", f"--kubeconfig={tmp_path / 'wrong'}").stderr


def test_lists_come_in_pages_where_the_cluster_or_the_client_wants_them(standin):
    c = standin(7, c=Trait(page=3))
    assert len(c.kubectl("get", "pods", "-o", "name").stdout.split()) == 7
    assert len(c.asked("list", "pods")) == 3
    assert len(c.kubectl("get", "pods", "-o", "name", "--chunk-size=2").stdout.split()) == 7
    assert len(c.asked("list", "pods")) == 3 + 4


def test_a_watch_tells_what_happens(standin):
    c = standin()
    command = c.cluster().argv("get", "pods", "--watch", "--output-watch-events")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        try:
            assert [watch.stdout.readline().split()[0] for _ in range(2)] == ["EVENT", "ADDED"]
            until = time.monotonic() + 10
            while not c.asked("watch", "pods") and time.monotonic() < until:
                time.sleep(0.05)
            c.wish("agent-1", "reschedule")
            events = [watch.stdout.readline().split()[0] for _ in range(2)]
        finally:
            watch.kill()
    assert events == ["DELETED", "ADDED"]
    assert c.kubectl("get", "pods", "-o", "name").stdout.split() == ["pod/agent-1-2"]


def test_nothing_of_it_stays(standin):
    c = standin()
    with subprocess.Popen(
        c.cluster().argv("exec", "-i", "agent-1", "--", "/bin/sh", "-c", "echo $$; exec sleep 600"),
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    ) as client:
        pid = int(client.stdout.readline())
        c._clusters.close()
        client.stdin.close()
        client.wait(20)
    assert subprocess.run(["ps", "-p", str(pid)], stdout=subprocess.DEVNULL, check=False).returncode == 1
