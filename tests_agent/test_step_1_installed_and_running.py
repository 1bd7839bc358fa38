"""Step 1: the agent is installed and running (`systemctl status qualys-cloud-agent`).

In a container no unit is looked for: the container is running and ready, and the agent's process is in it.
"""


def test_unit_exists(unit):
    """Step 1: systemd knows the unit; "Unit qualys-cloud-agent.service not found" means not installed.

    If not: this host relies on network scans; install the agent and activate it, then run again. A cluster's
    node without the agent's pod: `kubectl describe daemonset` and `kubectl get events` say why.
    """
    assert unit.presence == "installed"


def test_service_is_active_and_running(service):
    """Step 1: `systemctl status` shows `Active: active (running)`; a container is running and ready.

    If not: `sudo systemctl start qualys-cloud-agent`; `journalctl -u qualys-cloud-agent` says why it ended.
    In a container: restart it; its log (`kubectl logs`, `docker logs`) says why the process ended.
    """
    assert service.state in {"active (running)", "running and ready"}


def test_service_is_not_in_a_crash_loop(service):
    """Step 1: systemd, or whatever keeps its container, does not start it again and again.

    If not: `journalctl -u qualys-cloud-agent` and the agent's own log say why it ends; a full disk and a
    broken agent database are usual; reinstall the agent if it does not stay up.
    """
    assert service.stability == "stable"


def test_agent_process_runs(agent_process):
    """Step 1: the agent itself runs; `active (running)` is true of any program that the unit keeps alive.

    If not: `systemctl cat qualys-cloud-agent` shows what is started; reinstall the agent, then
    `sudo systemctl restart qualys-cloud-agent`.
    """
    assert agent_process.state == "runs"


def test_no_second_agent_runs(processes):
    """Step 1: no second agent runs beside this one.

    If not: end the one that systemd does not know (`systemctl status` shows the right one's Main PID).
    """
    assert processes.state == "no second agent"


def test_agent_program_is_in_place(program):
    """Step 1: the agent's program lies where it runs from; a removed package leaves a process until the next boot.

    If not: reinstall the agent.
    """
    assert program.state == "in place"


def test_service_is_enabled_at_boot(startup):
    """Step 1: the unit, or the container, starts at boot.

    If not: `sudo systemctl enable qualys-cloud-agent`, or the agent is gone after the next reboot.
    """
    assert startup.boot == "starts at boot"
