"""A host that speaks from a script, and its observations, made one by one."""

import importlib
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from qualys_verify import observation
from qualys_verify.agent.layout import Layout
from qualys_verify.host import Claims, Host
from qualys_verify.settings import read_settings
from qualys_verify.targets import Target
from tests.runbook.pretend import NOON, Script

for _room in ("service", "activity", "command_line", "requests", "execution"):
    importlib.import_module(f"fixtures.{_room}")


@pytest.fixture
def stage(request, monkeypatch):
    """A host on which it is noon, and its script; time passes only where the host sleeps."""

    def set_up(answers=None, *, layout=None, **changes):
        script = Script(answers or {})

        def sleep(seconds):
            script.now += timedelta(seconds=seconds)
            script.sleeps.append(seconds)

        monkeypatch.setattr(time, "monotonic", lambda: 1000.0 + (script.now - NOON).total_seconds())
        settings = replace(read_settings(request.config), **changes)
        host = Host(
            Target("ssh://web1", "ssh", "web1", layout=layout or Layout()), settings, script, sleep, Claims()
        )
        return host, script

    return set_up


@pytest.fixture
def look():
    """Make one observation, given the values of those that it needs."""

    def make(name, host, **seen):
        return observation._DECLARED[name].make(host, seen)

    return make
