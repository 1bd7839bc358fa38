import fcntl

import pytest

from qualys_verify.standin.faults import FAULTS
from tests.containers.client import kubectl_is_missing
from tests.faults.matrix import observe, read

NO_KUBECTL = kubectl_is_missing()
PLAYABLE = [name for name, fault in FAULTS.items() if fault.trait is None or not NO_KUBECTL]


@pytest.fixture(scope="session")
def observed(tmp_path_factory):
    """What the suite says of every host: one run, shared by all of pytest-xdist's workers."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "popen-gw" in base.name else base) / "fault-matrix"
    shared.mkdir(exist_ok=True)
    report = shared / "junit.xml"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return read(report) if report.exists() else observe(PLAYABLE, shared)
