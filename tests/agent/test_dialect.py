"""Which dialect is used: what the scripts' text shows, and what the user says."""

import pytest

from qualys_verify.agent.dialect import VERBS, CommandLine, Dialect, choose_dialect

WRAPPER = 'case "$1" in status) a ;; scan) b ;; policy_eval) c ;; esac\n'
WITHOUT_STATUS = 'case "$1" in scan) b ;; policy_eval) c ;; esac\n'
SCAN_ONLY = 'case "$1" in scan|status) b ;; esac\n'
VENDOR = """\
#!/bin/sh
# Usage: Key=Value; for status, scan and policy_eval see the manual
case "$1" in
    ActivationId=*) set_key ;;
    *) echo "Error: Invalid key name in $1"; exit 255 ;;
esac
"""
DELEGATE = '#!/bin/sh\nexec /opt/site/bin/qualys "$@"\n'


@pytest.mark.parametrize(
    ("script", "has_control", "forced", "dialect", "can_ask_status"),
    [
        (WRAPPER, True, None, "runbook", True),
        (WRAPPER, False, None, "runbook", True),
        (WITHOUT_STATUS, True, None, "runbook", False),
        (VENDOR, True, None, "vendor", False),
        (SCAN_ONLY, True, None, "vendor", False),
        (DELEGATE, True, None, "vendor", False),
        ("\x7fELF\0\0", True, None, "vendor", False),
        (None, True, None, "vendor", False),
        (WRAPPER, True, Dialect.VENDOR, "vendor", False),
        (VENDOR, True, Dialect.VENDOR, "vendor", False),
        (WRAPPER, True, Dialect.RUNBOOK, "runbook", True),
        (DELEGATE, True, Dialect.RUNBOOK, "runbook", True),
    ],
)
def test_the_dialect_is_found_by_reading(script, has_control, forced, dialect, can_ask_status):
    seen = choose_dialect(script, has_control, forced)
    assert (seen.dialect, seen.can_ask_status) == (dialect, can_ask_status)
    assert str(seen).startswith(f"{dialect} dialect")


@pytest.mark.parametrize(
    ("script", "has_control", "forced", "reason"),
    [
        (VENDOR, False, None, "no way to ask"),
        (None, False, None, "no way to ask"),
        (WRAPPER, False, Dialect.VENDOR, "no way to ask"),
        (VENDOR, True, Dialect.RUNBOOK, "destroys pending settings"),
        (None, True, Dialect.RUNBOOK, "destroys pending settings"),
        ("", True, Dialect.RUNBOOK, "destroys pending settings"),
    ],
)
def test_where_none_is_safe_there_is_none(script, has_control, forced, reason):
    with pytest.raises(ValueError, match=reason):
        choose_dialect(script, has_control, forced)


def test_the_verbs_are_shown():
    assert str(CommandLine(Dialect.RUNBOOK, frozenset(VERBS))).endswith("handles policy_eval, scan, status")
