"""The configuration file."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.agent.configuration import is_set, parse_configuration

UUID = "aaaaaaaa-0000-4000-8000-000000000001"
ZEROS = "00000000-0000-0000-0000-000000000000"


def test_what_is_read():
    seen = parse_configuration(
        f"\ufeff# ActivationId=\nactivationid = {UUID}\r\nCustomerId='{UUID}'\n; LogLevel=0\nLogLevel=5\n"
        'LogFileDir="/data/log/"\nServerUri=https://platform.example.invalid/?a=b\nnonsense\n'
    )
    assert (seen.activation_id, seen.customer_id, seen.log_level) == (UUID, UUID, 5)
    assert seen.log_directory == PurePosixPath("/data/log")
    assert (seen.state, seen.log_is_quiet) == ("activated", None)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", "ActivationId and CustomerId"),
        (f"ActivationId={ZEROS}\nCustomerId={ZEROS}", "ActivationId and CustomerId"),
        (f"ActivationId={{{ZEROS}}}\nCustomerId={UUID}", "ActivationId"),
        (f"ActivationId={UUID}\nCustomerId=", "CustomerId"),
        (f"ActivationId={UUID}\nCustomerId={UUID}\nActivationId={ZEROS}", "ActivationId"),
    ],
)
def test_an_agent_that_was_never_activated(text, missing):
    assert parse_configuration(text).state == f"never activated: {missing} not set or all zeros"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("LogLevel=0", "LogLevel is 0, and activity is logged from 3 on"),
        ("LogLevel=2", "LogLevel is 2, and activity is logged from 3 on"),
        ("LogLevel=3", None),
        ("LogLevel=5", None),
        ("LogLevel=-1", None),
        ("LogLevel=information", None),
        (f"LogLevel={'9' * 5000}", None),
        ("LogDestType=file", None),
        ("logdesttype=SYSLOG", "the agent logs to syslog"),
    ],
)
def test_whether_a_silent_log_is_to_be_expected(text, reason):
    assert parse_configuration(text).log_is_quiet == reason


def test_a_relative_folder_is_no_folder():
    assert parse_configuration("LogFileDir=log").log_directory is None


@pytest.mark.parametrize(
    ("identity", "is_one"),
    [
        (None, False),
        ("", False),
        (" \n\0", False),
        (ZEROS, False),
        (f"{{{ZEROS}}}", False),
        (UUID, True),
        (f"{UUID}\n", True),
    ],
)
def test_an_id_is_not_empty_and_not_all_zeros(identity, is_one):
    assert is_set(identity) == is_one


@given(st.text())
def test_any_text_is_read(text):
    assert parse_configuration(text).state
    parse_configuration(f"LogLevel={text}\nLogFileDir=/{text}")


def test_what_is_no_setting_changes_none():
    text = f"ActivationId={UUID}\nCustomerId={UUID}\nLogLevel=5\n"
    for line in ("LogLevel", "#LogLevel=1", " ; LogLevel = 1", "# LogLevel=1", "LogLevels=1"):
        assert parse_configuration(f"{text}{line}\n").log_level == 5
    assert parse_configuration(f"{text}loglevel = 4\n").log_level == 4
