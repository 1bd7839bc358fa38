"""Step 4: ask the agent for a policy evaluation. A scan alone is not enough: CIS findings do not update without it."""


def test_policy_evaluation_is_accepted(policy_evaluation):
    """Step 4: the agent answers `Policy evaluation started`, or with a ControlId.

    If not: read its answer; the agent must be activated for PC. Until then CIS findings do not update.
    """
    assert policy_evaluation.state == "accepted"
