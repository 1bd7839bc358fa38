"""Every command that is run as root, as a site would allow it."""

from pathlib import PurePosixPath

from qualys_verify.agent.commands import FILTER, as_root, beginning, end, logs
from qualys_verify.agent.layout import Layout
from qualys_verify.agent.request import ScanType

LOG = PurePosixPath("/var/log/qualys/qualys-cloud-agent.log")
HOME = "/srv/agent"


def commands(**changes):
    layout = Layout(home=PurePosixPath(HOME), **changes)
    return [" ".join(argv) for argv in as_root(layout, LOG, [ScanType.VM, ScanType.PC], 7)]


def test_the_list_is_complete_and_in_order():
    assert commands() == [
        "head -c 262144 /etc/qualys/cloud-agent/qualys-cloud-agent.conf",
        "head -c 262144 /etc/qualys/hostid",
        "head -c 262144 /etc/opt/qualys/cloud-agent/qualys-cloud-agent.conf",
        "head -c 262144 /etc/opt/qualys/hostid",
        f"head -c 262144 {HOME}/bin/qualys-cloud-agent.sh",
        f"head -c 262144 {HOME}/bin/cloudagentctl.sh",
        f"gzip -dc {LOG}.0.gz",
        f"tail -c 131072 {LOG}.0",
        f"tail -c 131072 {LOG}",
        f"ls -l {HOME}/.on-demand-scan",
        f"ls -l {HOME}/bin",
        "ps -eo pid,ppid,pidns,args",
        f"{HOME}/bin/qualys-cloud-agent.sh status",
        f"{HOME}/bin/qualys-cloud-agent.sh scan",
        f"{HOME}/bin/qualys-cloud-agent.sh policy_eval",
        f"{HOME}/bin/cloudagentctl.sh action=demand type=vm cputhrottle=7",
        f"{HOME}/bin/cloudagentctl.sh action=demand type=pc cputhrottle=7",
    ]


def test_an_agent_below_opt_may_log_in_several_places():
    layout = Layout(home=PurePosixPath("/opt/agent"))
    found = [" ".join(argv) for argv in as_root(layout, LOG, [], 0)]
    other = "/var/opt/qualys/log/qualys-cloud-agent.log"
    third = "/var/opt/qualys/cloud-agent/log/qualys-cloud-agent.log"
    assert f"ls -t {LOG} {third} {other}" in found
    assert {f"tail -c 131072 {path}" for path in (LOG, other, third)} <= set(found)
    assert f"gzip -dc {other}.0.gz" in found


def test_what_is_named_is_the_only_place():
    named = commands(configuration=PurePosixPath("/c/agent.conf"), hostid=PurePosixPath("/h"))
    assert named[:3] == [
        "head -c 262144 /c/agent.conf",
        "head -c 262144 /h",
        f"head -c 262144 {HOME}/bin/qualys-cloud-agent.sh",
    ]


def test_a_file_and_a_log_are_read_in_part():
    assert beginning(PurePosixPath("/a b")) == ("head", "-c", str(256 * 1024), "/a b")
    assert end("/a") == ("tail", "-c", str(128 * 1024), "/a")
    assert ("tail", "-c", str(128 * 1024)) == FILTER
    assert [argv[-1] for argv in logs(LOG)] == [f"{LOG}.0.gz", f"{LOG}.0", str(LOG)]
