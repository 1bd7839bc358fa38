"""`--shard`: parts of a fleet in runs of their own, and one evidence of them."""

import shutil
import subprocess
import sys

import pytest

from qualys_verify.evidence.run_json import read_result
from tests.workers.conftest import result_of

HOSTS = "--hosts=demo://healthy?hosts=5&delay=0.3"


def merge(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "qualys_verify.cli", "merge", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def shards(run):
    """Three shards of five hosts, one of them with workers."""
    ran = [
        run(HOSTS, "--shard=1/3"),
        run(HOSTS, "--shard", "1+1/3"),
        run("--hosts=demo://healthy?hosts=5&delay=0.3", "--shard=3/3", "-n", "2"),
    ]
    return ran, [next(item.folder.glob("reports/2*")) for item in ran]


def test_together_they_look_at_each_host_once(shards):
    found = [[host.id for host in result_of(ran).hosts] for ran in shards[0]]
    assert [ran.status for ran in shards[0]] == [0, 0, 0]
    assert sorted(map(len, found)) == [1, 2, 2]
    assert len({host for part in found for host in part}) == 5


def test_each_says_which_part_of_what_it_is(shards):
    runs = [result_of(ran).run for ran in shards[0]]
    assert [run.shard for run in runs] == ["1/3", "2/3", "3/3"]
    assert len({run.inventories for run in runs}) == 1
    assert [item.hosts for item in runs[0].inventories] == [5]
    page = (shards[1][1] / "report.html").read_text()
    assert "2/3 of the inventory" in page


def test_merged_they_are_the_whole(shards, tmp_path):
    done = merge(*shards[1], f"--to={tmp_path}/whole")
    assert (done.returncode, done.stderr) == (0, "")
    whole = read_result(tmp_path / "whole")
    assert whole.coverage.hosts == 5
    assert whole.run.exit_status == 0
    assert [item.hosts for item in whole.run.inventories] == [5]


def test_a_missing_shard_is_inconclusive(shards, tmp_path):
    done = merge(shards[1][2], shards[1][0], f"--to={tmp_path}/whole")
    assert done.returncode == 6
    assert "shard 2/3, 2 hosts: not assessed" in done.stdout
    whole = read_result(tmp_path / "whole")
    assert whole.run.exit_status == 6
    (missing,) = [host for host in whole.hosts if host.id.startswith("shard")]
    assert missing.id == "shard 2/3, 2 hosts"
    assert len(missing.assessments) == len(whole.checks)
    assert {item.verdict for item in missing.assessments} == {"inconclusive"}
    assert "shard 2/3" in (tmp_path / "whole/report.html").read_text()
    assert "shard 2/3" in (tmp_path / "whole/junit.xml").read_text()
    checked = subprocess.run(
        [sys.executable, "-m", "qualys_verify.cli", "verify", tmp_path / "whole"],
        check=False,
        capture_output=True,
    )
    assert checked.returncode == 0, checked.stdout


def test_one_shard_alone_is_not_the_whole(shards, tmp_path):
    assert merge(shards[1][0], f"--to={tmp_path}/whole").returncode == 6
    assert read_result(tmp_path / "whole").run.exit_status == 6


def test_a_folder_of_runs_may_be_named(shards, tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    for number, path in enumerate(shards[1]):
        shutil.copytree(path, folder / str(number))
    (folder / "latest").symlink_to("1")
    assert merge(folder, f"--to={tmp_path}/whole").returncode == 0


def test_shards_of_different_inventories_are_not_merged(shards, run, tmp_path):
    other = run("--hosts=demo://healthy?hosts=4&delay=0.3", "--shard=2/3", "-k", "unit_exists")
    (folder,) = other.folder.glob("reports/2*")
    done = merge(shards[1][0], folder, f"--to={tmp_path}/whole")
    assert done.returncode == 4
    assert "shards of different inventories" in done.stderr
    assert not (tmp_path / "whole").exists()


def test_a_shard_without_a_host_says_so_and_is_neither_green_nor_red(run):
    ran = run("--hosts=demo://healthy", "--shard=4/4")
    assert ran.status == 5
    assert ran.err.strip() == "Exit: --shard=4/4 has no host: there are 3, which the shards before it look at"
    assert ran.left_behind == []
    assert not list(ran.folder.glob("reports/*"))


def test_it_is_not_missed_when_the_others_are_merged(run, tmp_path):
    folders = []
    for number in (1, 2, 3):
        ran = run("--hosts=demo://healthy", f"--shard={number}/4", "-k", "unit_exists")
        assert ran.status == 0
        folders += ran.folder.glob("reports/2*")
    assert merge(*folders, f"--to={tmp_path}/whole").returncode == 0


@pytest.mark.parametrize("text", ["0/3", "4/3", "x"])
def test_what_cannot_be_meant(run, text):
    ran = run("--hosts=web1", f"--shard={text}")
    assert ran.status == 4
    assert "--shard is K/N, such as 2/8" in ran.err


def test_it_may_stand_in_the_configuration(run):
    ran = run("--hosts=demo://healthy", "-o", "shard=2/3", "--collect-only", "-q", "-k", "unit_exists")
    assert ran.out.count("test_unit_exists[") == 1
