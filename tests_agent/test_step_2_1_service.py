"""Step 2.1: an agent that does not run, or was never activated, executes no scan and updates no result."""


def test_service_runs_so_scans_execute(service):
    """Step 2.1: the service runs; otherwise scans do not execute and results do not update.

    If not: `sudo systemctl start qualys-cloud-agent`; `journalctl -u qualys-cloud-agent` says why it ended.
    """
    assert service.state in {"active (running)", "running and ready"}


def test_agent_is_activated(installation):
    """Step 2.1: the agent carries a customer's and an activation's id: `active (running)` is true without, too.

    If not: activate it with `qualys-cloud-agent.sh ActivationId=… CustomerId=…` from the Qualys UI.
    """
    assert installation.state == "activated"


def test_agent_is_provisioned(installation):
    """Step 2.1: the platform has given the agent an id (`hostid`); results are filed under it.

    If not: the agent has never reached the platform: check its proxy and the firewall, then its log.
    """
    assert installation.provisioning == "provisioned"
