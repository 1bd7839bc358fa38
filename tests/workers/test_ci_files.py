"""deploy/'s files for CI and for an Indexed Job: valid, and their own commands run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from qualys_verify.evidence.run_json import read_result
from qualys_verify.shard import read_shard
from tests.containers.test_deploy import DEPLOY, VERSIONS, documents, pod_spec

FLEET = "demo://healthy?delay=0.2"


@pytest.fixture
def shell(tmp_path):
    """Run a line of a CI's file where it would run, with `qualys-verify` on the path."""

    def run(line, **environment):
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", line],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "HOSTS": FLEET, **environment},
            check=False,
            capture_output=True,
            text=True,
        )

    return run


def steps(job):
    return {step["name"]: step for step in job["steps"] if "name" in step}


def test_the_github_matrix_and_its_merge(shell, tmp_path):
    (workflow,) = documents("github-actions.yaml")
    jobs = workflow["jobs"]
    matrix = jobs["shard"]["strategy"]["matrix"]["shard"]
    assert matrix == list(range(1, len(matrix) + 1))
    assert not jobs["shard"]["strategy"]["fail-fast"]
    assert jobs["merge"]["needs"] == "shard"
    assert jobs["merge"]["if"] == "always()"
    verify, keep = steps(jobs["shard"])["Verify"], steps(jobs["shard"])["Keep the evidence"]
    assert keep["if"] == "always()"
    assert verify["env"]["SHARD"] == "${{ matrix.shard }}/${{ strategy.job-total }}"
    for number in matrix:  # three hosts: the fourth shard has none
        done = shell(verify["run"], SHARD=f"{number}/{len(matrix)}")
        assert done.returncode == 0, done.stdout + done.stderr
        uploaded = tmp_path / f"shards/shard-{number}"
        uploaded.mkdir(parents=True)
        for path in tmp_path.glob(keep["with"]["path"].rstrip("/")):
            path.rename(uploaded / path.name)
    done = shell(steps(jobs["merge"])["Merge"]["run"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        read_result(tmp_path / steps(jobs["merge"])["Keep the evidence"]["with"]["path"]).coverage.hosts == 3
    )


def test_a_red_shard_s_job_is_red(shell):
    (workflow,) = documents("github-actions.yaml")
    line = steps(workflow["jobs"]["shard"])["Verify"]["run"]
    assert shell(line, HOSTS="ssh://127.0.0.1:1", SHARD="1/1").returncode != 0


def test_gitlab_s_parallel_and_its_merge(shell, tmp_path):
    (pipeline,) = documents("gitlab-ci.yaml")
    verify, merge = pipeline["verify"], pipeline["merge"]
    assert pipeline["stages"] == [verify["stage"], merge["stage"]]
    assert (verify["artifacts"]["when"], merge["when"]) == ("always", "always")
    (line,) = verify["script"]
    codes = []
    for number in range(1, verify["parallel"] + 1):
        done = shell(line, CI_NODE_INDEX=str(number), CI_NODE_TOTAL=str(verify["parallel"]))
        codes.append(done.returncode)
    assert codes == [0, 0, 0, 5]
    assert verify["allow_failure"] == {"exit_codes": [5]}
    assert len(list(tmp_path.glob(verify["artifacts"]["reports"]["junit"]))) == 3
    (line,) = merge["script"]
    done = shell(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_result(tmp_path / merge["artifacts"]["paths"][0]).coverage.hosts == 3


def test_a_shard_that_left_nothing_makes_the_merge_red(shell):
    (pipeline,) = documents("gitlab-ci.yaml")
    (line,) = pipeline["verify"]["script"]
    assert shell(line, CI_NODE_INDEX="1", CI_NODE_TOTAL="2").returncode == 0
    (line,) = pipeline["merge"]["script"]
    done = shell(line)
    assert done.returncode == 6
    assert "shard 2/2, 1 host: not assessed" in done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_the_indexed_job_is_valid_for_the_api(version):
    for item in documents("indexed-job.yaml"):
        kubernetes_validate.validate(item, version, strict=True)


def test_its_indices_are_the_shards():
    (job,) = documents("indexed-job.yaml")
    spec, (container,) = job["spec"], pod_spec("indexed-job.yaml")["containers"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"]
    assert spec["backoffLimitPerIndex"] == 0
    assert "backoffLimit" not in spec, "it would end the other shards with the first red one"
    given = {item["name"]: item.get("valueFrom") for item in container["env"]}
    args = " ".join(container["args"])
    assert set(re.findall(r"\$\((\w+)\)", args)) <= given.keys(), "Kubernetes expands what is declared"
    (text,) = re.findall(r"--shard=(\S+)", args)
    found = [read_shard(text.replace("$(SHARD_INDEX)", str(index))) for index in range(spec["completions"])]
    assert [(shard.number, shard.count) for shard in found] == [
        (number, spec["completions"]) for number in range(1, spec["completions"] + 1)
    ]


def test_otherwise_it_is_the_job():
    here, there = pod_spec("indexed-job.yaml"), pod_spec("job.yaml")
    for spec in (here, there):
        (container,) = spec["containers"]
        del container["args"], container["env"]
    assert here == there


def test_all_files_of_deploy_are_told_of_in_its_readme():
    text = (DEPLOY / "README.md").read_text()
    assert [
        path.name for path in DEPLOY.iterdir() if path.name != "README.md" and f"`{path.name}`" not in text
    ] == []
    assert yaml.safe_load((DEPLOY / "gitlab-ci.yaml").read_text())
