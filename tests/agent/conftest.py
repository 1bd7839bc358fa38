"""Values of the agent's world that several of these tests need."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings

from qualys_verify.agent.clock import HostClock

# No file of examples in the checkout, and no verdict on how busy the machine is.
settings.register_profile("agent", database=None, deadline=None)
settings.load_profile("agent")

NOON = datetime(2026, 3, 23, 12, tzinfo=UTC)


@pytest.fixture
def clock():
    """A host in UTC on which it is noon."""
    return HostClock(NOON, (timedelta(0),))
