"""Loads the plugin and the observations; nothing else."""

RUNBOOK = True  # tells the plugin where the runbook is

pytest_plugins = [
    "qualys_verify.plugin",
    "fixtures.service",
    "fixtures.activity",
    "fixtures.command_line",
    "fixtures.requests",
    "fixtures.execution",
]
