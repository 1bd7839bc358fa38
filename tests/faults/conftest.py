import fcntl

import pytest

from qualys_verify.standin.faults import FAULTS
from tests.containers.client import kubectl_is_missing
from tests.faults.matrix import observe, read

NO_KUBECTL = kubectl_is_missing()
BY_SSH = [name for name, fault in FAULTS.items() if fault.trait is None]
PLAYABLE = [name for name, fault in FAULTS.items() if fault.trait is None or not NO_KUBECTL]


def _shared(tmp_path_factory, client, names):
    """What the suite says of hosts: one run, shared by all of pytest-xdist's workers."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "popen-gw" in base.name else base) / f"fault-matrix-{client}"
    shared.mkdir(exist_ok=True)
    report = shared / "junit.xml"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return read(report) if report.exists() else observe(names, shared, client)


@pytest.fixture(scope="session")
def observed(tmp_path_factory):
    """What the suite says of every host, spoken to as it does by itself."""
    return _shared(tmp_path_factory, "auto", PLAYABLE)


@pytest.fixture(scope="session")
def observed_by_openssh(tmp_path_factory):
    """What it says of every host that is reached by SSH, when OpenSSH speaks to it."""
    return _shared(tmp_path_factory, "openssh", BY_SSH)
