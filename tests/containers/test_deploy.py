"""What deploy/ holds: valid for the API, enough and not too much, and kept true to the suite."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement

from qualys_verify.settings import OPTIONS
from tests.containers.test_cluster_runs import FAST, hosts
from tests.plugin.conftest import Running

CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOY = CHECKOUT / "deploy"
MANIFESTS = ("rbac.yaml", "volume.yaml", "job.yaml", "cronjob.yaml")
# The oldest minor version that kubectl speaks WebSocket to unasked, and one of the newest.
VERSIONS = ("1.30", "1.33", kubernetes_validate.latest_version())


def documents(name):
    return [item for item in yaml.safe_load_all((DEPLOY / name).read_text()) if item]


def pod_spec(name):
    (job,) = documents(name)
    spec = job["spec"]["jobTemplate"]["spec"] if job["kind"] == "CronJob" else job["spec"]
    return spec["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_each_manifest_is_valid_for_the_api(name, version):
    for item in documents(name):
        kubernetes_validate.validate(item, version, strict=True)


def test_a_manifest_that_is_not_valid_is_found():
    (volume,) = documents("volume.yaml")
    volume["spec"]["acessModes"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(volume, VERSIONS[1], strict=True)


def test_they_apply_together():
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", DEPLOY], capture_output=True, text=True, timeout=60, check=True
    )
    kinds = [item["kind"] for item in yaml.safe_load_all(done.stdout)]
    assert sorted(kinds) == [
        "ClusterRole",
        "ClusterRoleBinding",
        "CronJob",
        "PersistentVolumeClaim",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ]


def rules():
    """What the roles allow: verb and resource."""
    found = [item for item in documents("rbac.yaml") if item["kind"] in {"Role", "ClusterRole"}]
    return {
        (verb, resource)
        for item in found
        for rule in item["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }


def test_the_roles_allow_what_a_whole_run_asks_for_and_nothing_else(standin, tmp_path):
    c = standin(2)
    assert Running(tmp_path, (hosts(c), *FAST), {}).end().status == 0
    asked = {
        (entry["verb"], entry["resource"])
        for entry in c.asked()
        if entry["resource"].split("/")[0] in {"pods", "nodes", "daemonsets"}
    }
    # The one thing that is called otherwise by clusters before 1.35; the stand-in calls it as later ones do.
    assert rules() - asked == {("get", "pods/exec")}
    assert asked <= rules()


def test_nothing_is_bound_to_all_of_the_cluster_but_the_list_of_nodes():
    (cluster_role,) = [item for item in documents("rbac.yaml") if item["kind"] == "ClusterRole"]
    assert cluster_role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]


@pytest.mark.parametrize("name", ["job.yaml", "cronjob.yaml"])
def test_the_pod_runs_as_nobody_and_keeps_its_reports(name):
    spec = pod_spec(name)
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["restartPolicy"] == "Never"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "command" not in container
    claims = {volume["name"]: volume.get("persistentVolumeClaim") for volume in spec["volumes"]}
    (volume,) = documents("volume.yaml")
    (mount,) = [item for item in container["volumeMounts"] if item["mountPath"] == "/reports"]
    assert claims[mount["name"]] == {"claimName": volume["metadata"]["name"]}
    assert "--report-dir=/reports" in container["args"]
    known = {f"--{option.name}" for option in OPTIONS} | {"--hosts"}
    assert {word.partition("=")[0] for word in container["args"]} <= known


def test_both_run_the_same():
    assert pod_spec("job.yaml") == pod_spec("cronjob.yaml")


def test_neither_asks_every_agent_twice():
    (job,), (cronjob,) = documents("job.yaml"), documents("cronjob.yaml")
    assert job["spec"]["backoffLimit"] == 0
    assert cronjob["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert cronjob["spec"]["concurrencyPolicy"] == "Forbid"


def test_what_the_image_runs_on_is_pinned_by_hash_and_within_the_projects_bounds():
    text = (DEPLOY / "requirements.txt").read_text()
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\$", text, re.MULTILINE))
    assert pinned
    assert text.count("--hash=sha256:") >= len(pinned)
    needs = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    for need in map(Requirement, needs):
        assert need.specifier.contains(pinned[need.name]), need


def test_the_image_is_nobodys_and_starts_without_a_shell():
    text = (DEPLOY / "Containerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert "\nUSER 65532:65532\n" in last
    assert re.search(r'^ENTRYPOINT \["/opt/qualys-verify/bin/qualys-verify", "run"\]$', last, re.MULTILINE)
    assert "RUN " not in last
    assert "latest" not in text
    assert re.search(r"^ARG PYTHON=python:\d+\.\d+\.\d+-[\w-]+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
