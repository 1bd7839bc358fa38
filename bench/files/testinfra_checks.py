"""The checks with pytest-testinfra: a test for each, on each host."""

import json
import re
from pathlib import Path

import pytest

CHECKS = json.loads(Path(__file__).with_name("checks.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("command", "expected"), [check[1:] for check in CHECKS], ids=[check[0] for check in CHECKS]
)
def test_check(host, command, expected):
    """One command, one pattern."""
    assert re.search(expected, host.run(command).stdout.strip())
