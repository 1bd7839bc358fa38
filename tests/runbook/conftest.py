"""A host that speaks from a script, and its observations, made one by one."""

import importlib
import time
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
import tenacity.wait

from qualys_verify import observation
from qualys_verify.agent.layout import Layout
from qualys_verify.host import Alone, Host
from qualys_verify.settings import read_settings
from qualys_verify.targets import Target
from tests.runbook.pretend import NOON, Script

for _room in ("service", "activity", "command_line", "requests", "execution"):
    importlib.import_module(f"fixtures.{_room}")


@pytest.fixture
def stage(request, monkeypatch):
    """A host on which it is noon, and its script; time passes only where the host sleeps.

    `chance` (0 to 1) is what every throw of the dice comes to.
    """

    def set_up(answers=None, *, layout=None, chance=0.5, **changes):
        script = Script(answers or {})

        def sleep(seconds):
            script.now += timedelta(seconds=seconds)
            script.sleeps.append(seconds)

        monkeypatch.setattr(tenacity.wait, "random", SimpleNamespace(random=lambda: chance))
        monkeypatch.setattr(time, "monotonic", lambda: 1000.0 + (script.now - NOON).total_seconds())
        settings = replace(read_settings(request.config), **changes)
        host = Host(
            Target("ssh://web1", "ssh", "web1", layout=layout or Layout()), settings, script, Alone(sleep)
        )
        return host, script

    return set_up


@pytest.fixture
def look():
    """Make one observation, given the values of those that it needs."""

    def make(name, host, **seen):
        return observation._DECLARED[name].make(host, seen)

    return make
