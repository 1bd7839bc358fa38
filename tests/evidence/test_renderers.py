"""What holds for every renderer: the same result gives the same bytes, anywhere, and a large one in reasonable time."""

import os
import subprocess
import sys
from hashlib import sha256
from time import perf_counter

import pytest

from qualys_verify.evidence.hdf import render_hdf
from qualys_verify.evidence.intoto import render_intoto
from tests.evidence import odd, sample
from tests.evidence.whole import render_csv, render_junit, render_oscal


def each_hosts_hdf(result):
    return b"".join(render_hdf(result, host) for host in result.hosts)


def about_one_file(result):
    return render_intoto(result, [("run.json", "ab" * 32)])


RENDERERS = [render_junit, render_csv, render_oscal, each_hosts_hdf, about_one_file]


def digests():
    return " ".join(sha256(render(sample.result())).hexdigest() for render in RENDERERS)


@pytest.mark.parametrize("environment", [{"TZ": "Asia/Kathmandu"}, {"TZ": "America/Lima", "LC_ALL": "C"}])
def test_neither_clock_nor_zone_nor_locale_nor_hash_seed_is_in_it(environment, pytestconfig):
    program = "from tests.evidence import test_renderers; print(test_renderers.digests())"
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment, "PYTHONHASHSEED": str(len(environment))},
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == digests()


@pytest.mark.parametrize("render", RENDERERS)
def test_a_different_result_gives_different_bytes(render):
    assert render(sample.result()) != render(odd.expired())


@pytest.mark.parametrize("render", RENDERERS)
def test_a_thousand_hosts_in_reasonable_time(render):
    result = odd.fleet(1000)
    start = perf_counter()
    data = render(result)
    # Measured: well below one second for each; the limit leaves room for a busy machine.
    assert perf_counter() - start < 20
    assert len(data) < 30_000_000
