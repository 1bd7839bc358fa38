"""Where an agent keeps its files."""

from pathlib import PurePosixPath as Path

import pytest

from qualys_verify.agent.configuration import Configuration
from qualys_verify.agent.layout import Installation, Layout, Program

UUID = "aaaaaaaa-0000-4000-8000-000000000001"


def test_the_usual_places():
    layout = Layout()
    assert layout.script == Path("/usr/local/qualys/cloud-agent/bin/qualys-cloud-agent.sh")
    assert layout.control == Path("/usr/local/qualys/cloud-agent/bin/cloudagentctl.sh")
    assert layout.requests == Path("/usr/local/qualys/cloud-agent/.on-demand-scan")
    assert layout.configuration_places[0] == Path("/etc/qualys/cloud-agent/qualys-cloud-agent.conf")
    assert layout.hostid_beside(layout.configuration_places[0]) == Path("/etc/qualys/hostid")
    assert layout.hostid_beside(layout.configuration_places[1]) == Path("/etc/opt/qualys/hostid")
    assert layout.log_of(Configuration()) == Path("/var/log/qualys/qualys-cloud-agent.log")


@pytest.mark.parametrize(
    ("executable", "home"),
    [
        ("/opt/qualys/cloud-agent/bin/qualys-cloud-agent", "/opt/qualys/cloud-agent"),
        ("/var/usrlocal/qualys/cloud-agent/bin/qualys-cloud-agent", "/var/usrlocal/qualys/cloud-agent"),
        ("/bin/sh", "/usr/local/qualys/cloud-agent"),
        ("/opt/site/qualys-cloud-agent", "/usr/local/qualys/cloud-agent"),
        (None, "/usr/local/qualys/cloud-agent"),
    ],
)
def test_the_unit_tells_where_home_is(executable, home):
    assert Layout().at(executable and Path(executable)).root == Path(home)


def test_what_is_set_is_not_looked_for():
    layout = Layout(home=Path("/h"), configuration=Path("/c/d/e"), hostid=Path("/i"), log=Path("/l"))
    assert layout.at(Path("/opt/qualys/cloud-agent/bin/qualys-cloud-agent")) == layout
    assert layout.configuration_places == (Path("/c/d/e"),)
    assert layout.hostid_beside(Path("/c/d/e")) == Path("/i")
    assert layout.log_of(Configuration(log_directory=Path("/elsewhere"))) == Path("/l")
    assert Layout().log_of(Configuration(log_directory=Path("/elsewhere"))) == Path(
        "/elsewhere/qualys-cloud-agent.log"
    )


USUAL, BELOW_OPT = Layout().configuration_places


@pytest.mark.parametrize(
    ("home", "own"),
    [
        ("/usr/local/qualys/cloud-agent", USUAL),
        ("/var/usrlocal/qualys/cloud-agent", USUAL),
        ("/opt/qualys/cloud-agent", BELOW_OPT),
        ("/srv/qualys/cloud-agent", None),
        ("/opt/site", None),
        ("/opt/agent/cloud-agent", None),
        ("/opt", None),
        (None, None),
    ],
)
def test_a_configuration_belongs_to_the_layout_of_its_home(home, own):
    layout = Layout(home=home and Path(home))
    assert layout.own_configuration == own
    assert Layout(home=layout.home, configuration=Path("/c")).own_configuration == Path("/c")


def test_an_agent_below_opt_may_log_below_var_opt():
    layout = Layout(home=Path("/opt/qualys/cloud-agent"))
    usual, *others = layout.log_places(Configuration())
    assert usual == layout.log_of(Configuration()) == Path("/var/log/qualys/qualys-cloud-agent.log")
    assert others == [
        Path("/var/opt/qualys/cloud-agent/log/qualys-cloud-agent.log"),
        Path("/var/opt/qualys/log/qualys-cloud-agent.log"),
    ]
    elsewhere = Configuration(log_directory=Path("/elsewhere"))
    assert layout.log_places(elsewhere) == (Path("/elsewhere/qualys-cloud-agent.log"),)
    assert Layout(home=layout.home, log=Path("/l")).log_places(elsewhere) == (Path("/l"),)
    assert len(Layout().log_places(Configuration())) == 1


@pytest.mark.parametrize(
    ("hostid", "provisioning"),
    [
        (UUID, "provisioned"),
        (f"{UUID}\n", "provisioned"),
        ("", "never provisioned"),
        ("\n", "never provisioned"),
        (None, "never provisioned"),
        ("00000000-0000-0000-0000-000000000000\n", "never provisioned"),
    ],
)
def test_the_platform_gives_an_agent_its_id(hostid, provisioning):
    installation = Installation(Layout(), Configuration(UUID, UUID), hostid)
    assert installation.provisioning.split(":")[0] == provisioning
    assert installation.state == "activated"
    assert UUID not in str(installation)


@pytest.mark.parametrize(
    ("listing", "state"),
    [
        ("total 9\n-rwx------ 1 root root 9 Mar 23 12:00 qualys-cloud-agent\n", "in place"),
        ("lrwxrwxrwx 1 root root 9 Mar 23 12:00 qualys-cloud-agent -> /opt/agent-7\n\n", "in place"),
        (
            "lrwxrwxrwx 1 root root 9 Mar 23 12:00 old -> qualys-cloud-agent\n",
            "/b/qualys-cloud-agent is missing",
        ),
        ("-rwx------ 1 root root 9 Mar 23 12:00 qualys-cloud-agent.sh\n", "/b/qualys-cloud-agent is missing"),
        ("", "/b/qualys-cloud-agent is missing"),
    ],
)
def test_the_program_is_in_place_when_its_folder_shows_it(listing, state):
    program = Program(Path("/b/qualys-cloud-agent"), listing)
    assert program.state == str(program) == state
