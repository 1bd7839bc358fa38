"""For all of the suite's own tests."""

import os

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

# No file of examples in the checkout, and no verdict on how busy the machine is.
settings.register_profile("usual", database=None, deadline=None)
settings.load_profile("usual")
# A round of tests/fuzz.py.
settings.register_profile(
    "fuzz", database=None, deadline=None, max_examples=5000, suppress_health_check=list(HealthCheck)
)


def pytest_configure(config):
    """A warning is a failure here; an operator's run goes on."""
    config.addinivalue_line("filterwarnings", "error")
    config.addinivalue_line("markers", "property: a property test, which tests/fuzz.py hunts with for longer")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_auto_num_workers():
    """For `-n auto`: half of the time these tests wait for hosts, which leaves processors to others."""
    return 2 * (os.cpu_count() or 1)


def pytest_itemcollected(item):
    """Property tests carry their marker by themselves."""
    if is_hypothesis_test(getattr(item, "obj", None)):
        item.add_marker("property")
