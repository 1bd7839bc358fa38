"""The allow-list: accepted by sudo's own checker, exact, and just what the fixtures run."""

import shutil
import subprocess

import pytest

from qualys_verify.agent.commands import as_root
from qualys_verify.agent.layout import Layout
from qualys_verify.agent.request import ScanType
from qualys_verify.cli import main
from qualys_verify.sudoers import allow_list

COMMANDS = tuple(as_root(Layout(), "/var/log/qualys/qualys-cloud-agent.log", [ScanType.VM, ScanType.PC], 5))


def checked(text):
    if shutil.which("visudo") is None:
        pytest.skip("visudo is not installed: apt-get install sudo")
    return subprocess.run(
        ["visudo", "-c", "-f", "-"], input=text, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("user", ["ops", "%wheel", "#1000"])
def test_sudo_s_own_checker_accepts_it(user):
    done = checked(allow_list(user, COMMANDS, 30))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_one_command_with_its_arguments():
    rules = [line for line in allow_list("ops", COMMANDS, 30).splitlines() if not line.startswith("#")]
    assert rules
    for rule in rules:
        assert rule.startswith("ops ALL=(root) TIMEOUT=30s NOPASSWD: /")
        command = rule.split("NOPASSWD: ")[1]
        assert " " in command  # a rule without arguments would allow any
        assert not any(shell in command.split()[0] for shell in ("/sh", "bash", "env", "timeout"))
        assert "*" not in command.replace("\\*", "")


def test_what_separates_or_matches_in_sudoers_is_escaped():
    (rule,) = allow_list("ops", [("/opt/a b/x.sh", "type=vm,pc", "*")], 30).splitlines()[2:]
    assert rule.endswith(r"/opt/a\ b/x.sh type\=vm\,pc \*")


@pytest.mark.parametrize("user", ["", "ops ALL", "ops\nroot ALL=(ALL) ALL", "-x"])
def test_a_user_that_sudoers_cannot_name_is_refused(user):
    with pytest.raises(ValueError, match="--user"):
        allow_list(user, COMMANDS, 30)


def test_the_command_prints_it(capsys):
    assert main(["sudoers", "--user", "ops", "--scan-type=sca", "--agent-home=/opt/qualys/cloud-agent"]) == 0
    out = capsys.readouterr().out
    assert r"/opt/qualys/cloud-agent/bin/cloudagentctl.sh action\=demand type\=sca cputhrottle\=0" in out
    assert "type\\=vm" not in out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["rn"],
        ["sudoers"],
        ["sudoers", "--user", "ops", "--cputhrottle=1001"],
        ["sudoers", "--user", "ops", "--scan-type=x"],
    ],
)
def test_usage_errors_end_as_pytest_s_do(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 4
    assert "Traceback" not in capsys.readouterr().err


def test_a_user_that_cannot_be_named_is_one_line(capsys):
    assert main(["sudoers", "--user", "a b"]) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1
