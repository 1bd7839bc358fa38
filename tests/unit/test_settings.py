import os
from pathlib import PurePosixPath

import pytest

from qualys_verify.agent.dialect import Dialect
from qualys_verify.pace import Pace, Share
from qualys_verify.settings import OPTIONS, host_specs, read_settings

pytest_plugins = ["pytester"]


@pytest.fixture
def configured(pytester):
    """A pytest configuration from a command line and, perhaps, the lines of a pytest.ini."""

    def make(*arguments, ini=""):
        if ini:
            pytester.makeini(f"[pytest]\n{ini}\n")
        return pytester.parseconfig("-p", "qualys_verify.plugin", *arguments)

    return make


@pytest.fixture
def read(configured):
    return lambda *arguments, ini="": read_settings(configured(*arguments, ini=ini))


@pytest.fixture
def refusal(read):
    def sentence(*arguments, ini=""):
        with pytest.raises(ValueError) as caught:
            read(*arguments, ini=ini)
        assert str(caught.value).isprintable()
        return str(caught.value)

    return sentence


def test_what_holds_when_nothing_is_said(read):
    settings = read()
    assert (settings.agent_cli, settings.scan_types, settings.throttle) == (None, ("vm", "pc"), 0)
    assert (settings.poll_interval, settings.poll_timeout) == (None, None)
    assert (settings.command_timeout, settings.log_max_age, settings.at_once) == (
        30,
        7200,
        min(256, 32 * os.cpu_count()),
    )
    assert settings.ssh_in_process
    assert settings.pace == Pace(None, 0, Share(100, is_percent=True))
    assert (settings.read_only, settings.sudo, settings.sudo_user) == (False, False, None)
    assert (settings.ssh_config, settings.ssh_identity_file, settings.report_dir) == (None, None, None)
    assert settings.layout.unit == "qualys-cloud-agent.service"
    assert (settings.layout.home, settings.layout.configuration) == (None, None)
    assert (settings.layout.hostid, settings.layout.log) == (None, None)


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--agent-cli=auto", "agent_cli", None),
        ("--agent-cli=vendor", "agent_cli", Dialect.VENDOR),
        ("--agent-cli=runbook", "agent_cli", Dialect.RUNBOOK),
        ("--scan-type=vmpc", "scan_types", ("vmpc",)),
        ("--scan-type=SCA, udc,sca", "scan_types", ("sca", "udc")),
        ("--cputhrottle=0", "throttle", 0),
        ("--cputhrottle=1000", "throttle", 1000),
        ("--poll-interval=0.5", "poll_interval", 0.5),
        ("--poll-interval=15s", "poll_interval", 15),
        ("--poll-timeout=5m", "poll_timeout", 300),
        ("--poll-timeout=2 min", "poll_timeout", 120),
        ("--command-timeout=1h", "command_timeout", 3600),
        ("--log-max-age=8760h", "log_max_age", 365 * 24 * 3600),
        ("--at-once=1", "at_once", 1),
        ("--max-triggers-at-once=10", "pace", Pace(at_once=10)),
        ("--trigger-jitter=0", "pace", Pace(jitter=0)),
        ("--trigger-jitter=2m", "pace", Pace(jitter=120)),
        ("--max-inconclusive=0", "pace", Pace(max_inconclusive=Share(0, is_percent=False))),
        ("--max-inconclusive=10%", "pace", Pace(max_inconclusive=Share(10, is_percent=True))),
        ("--max-inconclusive=100%", "pace", Pace()),
        ("--sudo-user=qualys", "sudo_user", "qualys"),
    ],
)
def test_good_values(read, argument, name, value):
    assert getattr(read(argument), name) == value


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--agent-unit=other", "unit", "other.service"),
        ("--agent-unit=qualys@1.service", "unit", "qualys@1.service"),
        ("--agent-home=/opt/qualys/cloud agent", "home", PurePosixPath("/opt/qualys/cloud agent")),
        ("--agent-config=/etc/x.conf", "configuration", PurePosixPath("/etc/x.conf")),
        ("--agent-hostid=/etc/hostid", "hostid", PurePosixPath("/etc/hostid")),
        ("--agent-log=/var/log/x.log", "log", PurePosixPath("/var/log/x.log")),
    ],
)
def test_good_places_of_the_agent(read, argument, name, value):
    assert getattr(read(argument).layout, name) == value


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--agent-cli=both", "one of auto, runbook, vendor, not 'both'"),
        ("--agent-cli=", "one of auto, runbook, vendor"),
        ("--scan-type=virus", "'virus' is none of them"),
        ("--scan-type=swca", "'swca' is none of them"),
        ("--scan-type=", "'' is none of them"),
        ("--scan-type=vm,", "'' is none of them"),
        ("--cputhrottle=1001", "from 0 (full speed) to 1000, not '1001'"),
        ("--cputhrottle=-1", "not '-1'"),
        ("--cputhrottle=x", "not 'x'"),
        ("--cputhrottle=1e2", "not '1e2'"),
        ("--cputhrottle=", "not ''"),
        ("--poll-interval=0", "greater than 0"),
        ("--poll-interval=-5", "greater than 0"),
        ("--poll-timeout=soon", "greater than 0"),
        ("--poll-timeout=5w", "greater than 0"),
        ("--poll-timeout=inf", "greater than 0"),
        ("--command-timeout=", "greater than 0"),
        ("--command-timeout=0.0", "greater than 0"),
        ("--log-max-age=999999999h", "greater than 0"),
        ("--at-once=0", "from 1 on"),
        ("--at-once=many", "from 1 on"),
        ("--max-triggers-at-once=0", "from 1 on"),
        ("--max-triggers-at-once=10%", "from 1 on"),
        ("--trigger-jitter=-1", "is a time, such as 0, 15"),
        ("--trigger-jitter=often", "is a time, such as 0, 15"),
        ("--max-inconclusive=101%", "such as 0, 5 or 10%"),
        ("--max-inconclusive=-1", "such as 0, 5 or 10%"),
        ("--max-inconclusive=ten", "such as 0, 5 or 10%"),
        ("--max-inconclusive=", "such as 0, 5 or 10%"),
        ("--agent-unit=-x", "name of a systemd unit"),
        ("--agent-unit=", "name of a systemd unit"),
        ("--agent-unit=a b", "name of a systemd unit"),
        ("--agent-home=opt/qualys", "absolute path on the target"),
        ("--agent-log=~/x.log", "absolute path on the target"),
        ("--agent-config=/etc/x\n/y", "absolute path on the target"),
        ("--log-patterns=missing.toml", "missing.toml cannot be used"),
        ("--log-patterns=~nobody-of-this-name/x", "cannot be used"),
    ],
)
def test_bad_values_are_refused_in_one_sentence_that_names_the_option(refusal, argument, says):
    sentence = refusal(argument)
    assert sentence.startswith(argument.partition("=")[0])
    assert says in sentence


@pytest.mark.parametrize("option", ["--ssh-config", "--ssh-identity-file"])
@pytest.mark.parametrize("name", ["missing", ".", "~nobody-of-this-name/key", ""])
def test_files_for_ssh_must_be_readable(refusal, option, name):
    sentence = refusal(f"{option}={name}")
    assert sentence.startswith(option)
    assert "cannot be read" in sentence


def test_files_for_ssh(read, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "config").touch()
    assert read("--ssh-config=~/config").ssh_config == tmp_path / "config"
    assert read(f"--ssh-identity-file={tmp_path}/config").ssh_identity_file == tmp_path / "config"


def test_a_repeated_scan_type_adds_up(read):
    assert read("--scan-type=vm", "--scan-type=inv,vm").scan_types == ("vm", "inv")


@pytest.mark.parametrize("switch", ["--read-only", "--sudo"])
def test_switches(read, switch):
    assert getattr(read(switch), switch.strip("-").replace("-", "_")) is True


def test_the_configuration_file_says_it_too_and_the_command_line_wins(read):
    ini = "agent_cli = vendor\nscan_type = pc\ncputhrottle = 7\nread_only = true\nagent_home = /opt/x\n"
    ini += "max_triggers_at_once = 5\ntrigger_jitter = 30s\nmax_inconclusive = 20%\n"
    settings = read("--cputhrottle=8", ini=ini)
    assert (settings.agent_cli, settings.scan_types) == (Dialect.VENDOR, ("pc",))
    assert (settings.throttle, settings.read_only) == (8, True)
    assert settings.layout.home == PurePosixPath("/opt/x")
    assert settings.pace == Pace(5, 30, Share(20, is_percent=True))


def test_a_bad_value_in_the_configuration_file_is_refused_as_well(refusal):
    assert "not '1001'" in refusal(ini="cputhrottle = 1001")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_default_can_be_read(option):
    option.read(option.default)


def test_hosts_come_from_the_command_line_or_else_from_the_configuration_file(configured):
    assert list(host_specs(configured())) == []
    assert list(host_specs(configured("--hosts=web1,web2"))) == ["web1,web2"]
    assert list(host_specs(configured("--hosts="))) == [""]
    assert list(host_specs(configured(ini="hosts = web1 ssh://web2"))) == ["web1", "ssh://web2"]
    assert list(host_specs(configured("--hosts", "web3", ini="hosts = web1"))) == ["web3"]


@pytest.mark.parametrize(
    "arguments", [("--hosts=web1", "--hosts=web2"), ("--hosts", "web1", "--hosts", "web1")]
)
def test_hosts_given_twice_are_not_half_forgotten(configured, arguments):
    with pytest.raises(ValueError, match="given twice"):
        host_specs(configured(*arguments))


def test_hosts_in_native_toml(configured, pytester):
    pytester.makepyprojecttoml('[tool.pytest]\nhosts = ["web1", "ssh://web2"]\ncputhrottle = "7"\n')
    config = configured()
    assert list(host_specs(config)) == ["web1", "ssh://web2"]
    assert read_settings(config).throttle == 7


def test_which_ssh_client(read, refusal):
    assert not read("--ssh-client=openssh").ssh_in_process
    assert not read(ini="ssh_client = openssh").ssh_in_process
    assert refusal("--ssh-client=putty") == "--ssh-client is auto or openssh, not 'putty'"
