"""Values of the agent's world that several of these tests need."""

from datetime import UTC, datetime, timedelta

import pytest

from qualys_verify.agent.clock import HostClock

NOON = datetime(2026, 3, 23, 12, tzinfo=UTC)


@pytest.fixture
def clock():
    """A host in UTC on which it is noon."""
    return HostClock(NOON, (timedelta(0),))
