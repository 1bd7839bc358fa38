"""Step 2.3: `qualys-cloud-agent.sh status` may answer `Invalid key name in status`; that is no failure."""


def test_status_shows_the_last_assessment_or_has_the_known_limitation(status):
    """Step 2.3: `status` answers; where it cannot, service, log and accepted requests are the authority.

    If not: run it by hand with sudo; an answer that the runbook does not know belongs to vendor support.
    """
    assert status.answer in {"shows the last assessment", "has never assessed", "known limitation"}
