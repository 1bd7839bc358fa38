"""in-toto's own library takes our statement, and its model of the predicate has the same fields."""

import json

import pytest

from qualys_verify.evidence.intoto import render_intoto
from tests.evidence import sample

statements = pytest.importorskip("in_toto_attestation.v1.statement", reason="in-toto-attestation: .[interop]")
json_format = pytest.importorskip("google.protobuf.json_format")
statement_pb2 = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
predicate_pb2 = pytest.importorskip("in_toto_attestation.predicates.test_result.v0.test_result_pb2")


def checked(data):
    """The statement, by in-toto's own rules. Raises ValueError for what breaks one."""
    message = json_format.ParseDict(data, statement_pb2.Statement())
    statements.Statement.copy_from_pb(message).validate()
    return message


def test_the_statement_is_valid(result):
    checked(json.loads(render_intoto(result, [("run.json", "ab" * 32)])))


def test_the_predicate_is_test_result_0_1(result):
    data = json.loads(render_intoto(result, [("run.json", "ab" * 32)]))["predicate"]
    message = json_format.ParseDict(data, predicate_pb2.TestResult(), ignore_unknown_fields=False)
    assert message.result == data["result"]
    assert list(message.failed_tests) == data["failedTests"]
    for descriptor in message.configuration:
        assert descriptor.uri or descriptor.digest


@pytest.mark.parametrize("broken", [{"_type": "x"}, {"subject": []}, {"predicateType": ""}])
def test_what_is_wrong_is_refused(broken):
    data = json.loads(render_intoto(sample.result(), [("run.json", "ab" * 32)]))
    with pytest.raises(ValueError, match=r"."):
        checked(data | broken)
