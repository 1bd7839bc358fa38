"""Ansible's results, a line of JSON for each task of each host: [host, task, whether it holds]."""

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Writes what came of each task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "bench"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        """The file is named by the environment."""
        super().__init__()
        self._file = Path(os.environ["BENCH_RESULTS"]).open("a", encoding="utf-8")  # noqa: SIM115  # for the whole play

    def v2_runner_on_ok(self, result):
        """It holds."""
        self._write(result, holds=True)

    def v2_runner_on_failed(self, result, ignore_errors=False):  # noqa: ARG002, FBT002  # as Ansible has it
        """It does not; what failed for another reason than the pattern prints no status."""
        self._write(result, holds=False)

    def _write(self, result, *, holds):
        self._file.write(
            json.dumps([result._host.get_name(), result._task.get_name().split(" : ")[-1], holds]) + "\n"
        )
        self._file.flush()
