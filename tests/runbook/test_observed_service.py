"""Steps 1 and 2.1: how a host's unit, processes and files are looked at."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import PurePosixPath

import pytest

from qualys_verify.agent.layout import HOME, Layout
from qualys_verify.agent.unit import PROPERTIES
from qualys_verify.reasons import Denied, Inconclusive, NotApplicable, TimedOut, Unreachable
from tests.runbook.pretend import CONF, MISSING, REFUSED

UNIT = "qualys-cloud-agent.service"
DAEMON = HOME / "bin/qualys-cloud-agent"
SHOW = f"LoadState=loaded\nActiveState=active\nSubState=running\nActiveEnterTimestampMonotonic={86400 * 10**6}\nExecStart={{ path={DAEMON} ; }}\n"
NO_UNIT = "LoadState=not-found\nActiveState=inactive\nSubState=dead\n"
UUID = "aaaaaaaa-0000-4000-8000-000000000001"
ACTIVATED = f"ActivationId={UUID}\nCustomerId={UUID}\n"
OTHER_CONF = "/etc/opt/qualys/cloud-agent/qualys-cloud-agent.conf"
HEAD = "head -c 262144"


@pytest.fixture
def running(stage, look):
    """The unit of a running agent, whose daemon lies where the test says."""

    def make(executable=DAEMON):
        host, _ = stage({"systemctl": SHOW.replace(str(DAEMON), str(executable))})
        return look("unit", host, identity=host.identity)

    return make


# --- identity --------------------------------------------------------------------------------------------


IDS_AT = ("/etc/qualys/hostid", "/etc/opt/qualys/hostid")


def test_who_answers_is_found_out_and_sudo_is_put_to_the_proof(stage, look):
    host, script = stage({f"{HEAD} {IDS_AT[0]}": f"{UUID}\n", HEAD: MISSING})
    seen = look("identity", host)
    assert seen == replace(host.identity, hostids=(sha256(UUID.encode()).hexdigest(),))
    assert seen.uptime == timedelta(days=3)
    assert script.asked == [f"sudo -n {HEAD} {path}" for path in IDS_AT]
    assert UUID not in "".join(map(str, (seen, *host.record.replies)))


def test_the_agents_id_is_no_longer_kept_once_it_is_known(stage, look):
    host, _ = stage({f"{HEAD} {CONF}": ACTIVATED, f"{HEAD} {IDS_AT[1]}": UUID, HEAD: MISSING})
    told = []
    host.keep_secret = lambda *secrets: told.extend(secrets)
    look("identity", host)
    assert told == [UUID]


@pytest.mark.parametrize(
    "answer",
    [MISSING, (1, "", "head: Permission denied"), "", "\n", "00000000-0000-0000-0000-000000000000\n"],
)
def test_that_the_files_of_the_proof_are_missing_proves_sudo_as_well(stage, look, answer):
    host, _ = stage({HEAD: answer})
    seen = look("identity", host)
    assert (seen.hostname, seen.hostids) == ("web1", ())


def test_an_id_that_an_earlier_installation_left_is_shown_beside(stage, look):
    host, _ = stage({f"{HEAD} {IDS_AT[0]}": UUID, f"{HEAD} {IDS_AT[1]}": f"{UUID}2", HEAD: MISSING})
    assert len(look("identity", host).hostids) == 2
    named = Layout(configuration=PurePosixPath("/c/d/agent.conf"), hostid=PurePosixPath("/h"))
    host, script = stage({HEAD: UUID}, layout=named)
    assert len(look("identity", host).hostids) == 1
    assert script.asked == [f"sudo -n {HEAD} /h"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(REFUSED, Denied), (Unreachable("gone"), Unreachable), (TimedOut("30 s"), TimedOut)],
    ids=str,
)
def test_who_may_not_look_or_is_not_reached_is_the_reason_for_everything(stage, look, answer, reason):
    host, _ = stage({HEAD: answer})
    with pytest.raises(reason):
        look("identity", host)


# --- unit ------------------------------------------------------------------------------------------------


def test_the_unit_is_shown_without_root(stage, look):
    host, script = stage({"systemctl": SHOW})
    seen = look("unit", host, identity=host.identity)
    assert script.asked == [f"systemctl show {UNIT} --property={','.join(PROPERTIES)}"]
    assert (seen.unit, seen.state, seen.running_for) == (UNIT, "active (running)", timedelta(days=2))


def test_a_unit_of_another_name_is_asked_for(stage, look):
    host, script = stage({"systemctl": SHOW}, layout=Layout(unit="agent2.service"))
    assert look("unit", host, identity=host.identity).unit == "agent2.service"
    assert script.asked[0].startswith("systemctl show agent2.service ")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((1, "", "sh: 1: systemctl:\n not found\n"), r"\(sh: 1: systemctl: not found\)"),
        ((1, "not booted with systemd", ""), r"\(not booted with systemd\)"),
        ((1, "", "x" * 200), rf"\({'x' * 160}\)"),
        ((0, "", ""), r"\(nothing\)"),
    ],
)
def test_a_host_without_systemd_cannot_be_judged(stage, look, answer, said):
    host, _ = stage({"systemctl": answer})
    with pytest.raises(Inconclusive, match=rf"^ssh://web1: systemd does not answer {said}"):
        look("unit", host, identity=host.identity)


# --- service ---------------------------------------------------------------------------------------------


def test_the_service_is_the_unit_that_is_installed(stage, look, running):
    host, script = stage()
    unit = running()
    assert look("service", host, unit=unit) is unit
    assert script.commands == []


def test_without_a_unit_the_runbook_stops(stage, look):
    host, _ = stage({"systemctl": NO_UNIT})
    unit = look("unit", host, identity=host.identity)
    with pytest.raises(NotApplicable, match=rf"ssh://web1 has no agent \(Unit {UNIT} not found\).*stop here"):
        look("service", host, unit=unit)


# --- processes -------------------------------------------------------------------------------------------


def test_processes_are_listed_as_root_and_only_the_agents_are_kept(stage, look, running):
    listing = (
        f"1 0 4026 /sbin/init\n712 1 4026 {DAEMON}\n713 1 4026 {DAEMON}\n9 1 4026 app --password=hunter2\n"
    )
    host, script = stage({"ps": listing})
    assert [process.pid for process in look("processes", host, service=running()).daemons] == [712, 713]
    assert script.asked == ["sudo -n ps -eo pid,ppid,pidns,args"]
    assert not any(command.startswith("cat /proc/0") for command in script.commands)
    kept = "".join(map(str, host.record.replies))
    assert str(DAEMON) in kept
    assert "hunter2" not in kept


ONE = f"1 0 4026 /sbin/init\n712 1 4026 {DAEMON}\n"
GROUP = f"0::/system.slice/{UNIT}\n"


def origin(started):
    return f"{GROUP}712 (agent) S {' '.join(map(str, range(18)))} {started}\n"


@pytest.mark.parametrize(
    ("started", "daemons"), [((50, 90), [712]), ((90, 50), [712, 713])], ids=["helper", "left over"]
)
def test_where_there_are_several_a_second_look_tells_helpers_from_agents(
    stage, look, running, started, daemons
):
    answers = {f"cat /proc/71{number}/cgroup": origin(at) for number, at in zip("23", started, strict=True)}
    host, script = stage({"ps": f"{ONE}713 1 4026 {DAEMON} --scan\n", **answers})
    service = replace(running(), main_pid=712, control_group=f"/system.slice/{UNIT}")
    assert [process.pid for process in look("processes", host, service=service).daemons] == daemons
    assert [command for command in script.commands if command.startswith("cat /proc/7")] == [
        f"cat /proc/{pid}/cgroup /proc/{pid}/stat" for pid in (712, 713)
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((127, "", "sudo: ps: command\nnot found\n"), r"\(sudo: ps: command not found\)"),
        ((1, "ps: unknown option", ""), r"\(ps: unknown option\)"),
        ((1, "", "x" * 200), rf"\({'x' * 160}\)"),
        ("", r"\(nothing\)"),
    ],
)
def test_without_a_listing_of_processes_none_can_be_counted(stage, look, running, answer, said):
    host, _ = stage({"ps": answer})
    with pytest.raises(Inconclusive, match=rf"^ssh://web1: `ps` lists no process {said}: is procps"):
        look("processes", host, service=running())


# --- agent_process ---------------------------------------------------------------------------------------

SLEEP = "1 0 4026 /sbin/init\n712 1 4026 sleep infinity\n"


@pytest.fixture
def agent_process(stage, look, running):
    """Whether an agent runs, by what `ps` and the kernel say; the unit's main process is 712."""

    def make(listing, name="", main_pid=712):
        host, script = stage({"ps": listing, f"cat /proc/{main_pid}/comm": name})
        service = replace(running(), main_pid=main_pid)
        processes = look("processes", host, service=service)
        return script, look("agent_process", host, service=service, processes=processes)

    return make


def test_an_agent_that_is_listed_needs_no_closer_look(agent_process):
    script, seen = agent_process(ONE)
    assert seen.state == "runs"
    assert [command for command in script.commands if command.startswith("cat /proc/7")] == []


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("qualys-cloud-ag\n", "runs"),
        ("sleep\n", "no agent process: the unit's main process 712 is sleep"),
        ((1, "", "cat: No such file"), "no agent process: the unit's main process 712 is sleep"),
    ],
)
def test_one_that_is_not_is_asked_for_by_the_kernels_name(agent_process, name, state):
    script, seen = agent_process(SLEEP, name)
    assert seen.state == str(seen) == state
    assert "cat /proc/712/comm" in script.commands


def test_a_unit_without_a_main_process_has_no_name(agent_process):
    with pytest.raises(Inconclusive, match=r"^ssh://web1: no process has the agent's name"):
        agent_process(SLEEP, main_pid=0)


# --- installation ----------------------------------------------------------------------------------------


def files(**answers):
    return {f"{HEAD} {path}": answer for path, answer in answers.items()}


def test_the_configuration_and_its_hostid_are_read_as_root_and_not_shown(stage, look, running):
    found = {CONF: ACTIVATED, OTHER_CONF: MISSING, "/etc/qualys/hostid": UUID}
    host, script = stage(files(**found))
    seen = look("installation", host, service=running())
    assert (seen.state, seen.provisioning, seen.hostid) == ("activated", "provisioned", UUID)
    assert script.asked == [f"sudo -n {HEAD} {path}" for path in found]
    assert UUID not in "".join(map(str, host.record.replies))


def test_the_agents_ids_are_not_kept_from_then_on(stage, look, running):
    text = "ActivationId=activation\nCustomerId=customer\n"
    host, _ = stage(files(**{CONF: text, OTHER_CONF: MISSING, "/etc/qualys/hostid": UUID}))
    told = []
    host.keep_secret = lambda *secrets: told.extend(secrets)
    look("installation", host, service=running())
    assert told == ["activation", "customer", UUID]


def test_the_second_place_counts_where_the_first_is_empty(stage, look, running):
    found = {CONF: MISSING, OTHER_CONF: ACTIVATED, "/etc/opt/qualys/hostid": MISSING}
    host, _ = stage(files(**found))
    seen = look("installation", host, service=running())
    assert (seen.state, seen.hostid) == ("activated", None)


def test_the_first_place_counts_where_both_are_there(stage, look, running):
    found = {CONF: "LogLevel=3\n", OTHER_CONF: ACTIVATED, "/etc/qualys/hostid": ""}
    host, _ = stage(files(**found))
    seen = look("installation", host, service=running())
    assert seen.state.startswith("never activated")
    assert seen.hostid == ""


@pytest.fixture
def with_configurations(stage, look, running):
    """What is found where the unit runs a program, and these texts lie at the two places."""

    def make(executable, texts):
        found = dict(zip((CONF, OTHER_CONF), texts, strict=True))
        host, _ = stage(files(**found | {"/etc/qualys/hostid": UUID, "/etc/opt/qualys/hostid": UUID}))
        return look("installation", host, service=running(executable))

    return make


OPT = "/opt/qualys/cloud-agent/bin/qualys-cloud-agent"
NEVER = "LogLevel=3\nLogFileDir=/l\n"
IDS = f"{ACTIVATED}LogFileDir=/l\n"


@pytest.mark.parametrize(
    ("executable", "texts", "state"),
    [
        (OPT, (IDS, NEVER), "never activated"),  # what is left over at the first place is not looked at
        (OPT, (NEVER, IDS), "activated"),
        (OPT, (IDS, MISSING), "activated"),
        (DAEMON, (NEVER, IDS), "never activated"),
        (DAEMON, (IDS, NEVER), "activated"),
        ("/bin/sh", (IDS, IDS), "activated"),
        ("/bin/sh", (MISSING, IDS), "activated"),
    ],
)
def test_of_two_that_of_the_units_layout_counts(with_configurations, executable, texts, state):
    assert with_configurations(executable, texts).state.split(":")[0] == state


@pytest.mark.parametrize("executable", ["/bin/sh", "/srv/qualys/cloud-agent/bin/qualys-cloud-agent"])
@pytest.mark.parametrize("texts", [(IDS, NEVER), (NEVER, IDS), (IDS, "")], ids=["left", "right", "empty"])
def test_of_two_that_differ_none_counts_where_the_unit_does_not_tell(with_configurations, executable, texts):
    with pytest.raises(
        Inconclusive, match=rf"^ssh://web1: .* at {CONF} and {OTHER_CONF}, which differ .*--agent-config"
    ):
        with_configurations(executable, texts)


LOGS = [
    f"/var/{place}/qualys-cloud-agent.log"
    for place in ("log/qualys", "opt/qualys/cloud-agent/log", "opt/qualys/log")
]


@pytest.mark.parametrize(
    ("answer", "log"),
    [
        ((2, f"{LOGS[1]}\n", "ls: cannot access 'it': No such file or directory"), LOGS[1]),
        ((2, f"{LOGS[2]}\n{LOGS[0]}\n", "ls: cannot access 'it': No such file or directory"), LOGS[2]),
        (f"{LOGS[0]}\n{LOGS[1]}\n", LOGS[0]),
        ((2, "", "ls: cannot access 'it': No such file or directory"), LOGS[0]),
    ],
    ids=["one", "newest", "usual", "none"],
)
def test_below_opt_the_log_is_where_the_agent_wrote_last(stage, look, running, answer, log):
    found = files(**{CONF: MISSING, OTHER_CONF: ACTIVATED, "/etc/opt/qualys/hostid": UUID})
    host, script = stage({**found, "ls -t ": answer})
    assert str(look("installation", host, service=running(OPT)).log) == log
    assert script.asked[-1] == f"sudo -n ls -t {' '.join(LOGS)}"


def test_below_opt_may_not_look_is_not_not_there(stage, look, running):
    found = files(**{CONF: MISSING, OTHER_CONF: ACTIVATED, "/etc/opt/qualys/hostid": UUID})
    host, _ = stage({**found, "ls -t ": (2, "", "ls: cannot access 'it': Permission denied")})
    with pytest.raises(Denied):
        look("installation", host, service=running(OPT))


@pytest.mark.parametrize("text", ["", " \n"], ids=repr)
def test_a_configuration_that_holds_nothing_says_nothing(stage, look, running, text):
    host, _ = stage(files(**{CONF: text, OTHER_CONF: ACTIVATED}))
    with pytest.raises(Inconclusive, match=rf"^ssh://web1: .* at {CONF} holds nothing"):
        look("installation", host, service=running())


def test_an_agent_without_a_configuration_is_not_judged(stage, look, running):
    host, _ = stage(files(**{CONF: MISSING, OTHER_CONF: MISSING}))
    with pytest.raises(
        Inconclusive, match=rf"^ssh://web1: .* not at {CONF} and {OTHER_CONF}: .*--agent-config"
    ):
        look("installation", host, service=running())


@pytest.mark.parametrize("path", [CONF, OTHER_CONF, "/etc/qualys/hostid"])
def test_may_not_look_is_not_not_there(stage, look, running, path):
    found = {CONF: ACTIVATED, OTHER_CONF: MISSING, "/etc/qualys/hostid": UUID}
    host, _ = stage(files(**found | {path: (1, "", f"head: {path}: Permission denied")}))
    with pytest.raises(Denied):
        look("installation", host, service=running())


def test_home_is_where_the_unit_runs_the_daemon_from(stage, look, running):
    found = {CONF: IDS, OTHER_CONF: MISSING, "/etc/qualys/hostid": UUID}
    host, _ = stage(files(**found))
    service = running("/opt/qualys/cloud-agent/bin/qualys-cloud-agent")
    assert look("installation", host, service=service).layout.root == PurePosixPath("/opt/qualys/cloud-agent")


def test_a_configuration_that_is_named_is_the_only_place(stage, look, running):
    layout = Layout(configuration=PurePosixPath("/data/qualys/agent/agent.conf"))
    answers = {"/data/qualys/agent/agent.conf": ACTIVATED, "/data/qualys/hostid": UUID}
    host, script = stage(files(**answers), layout=layout)
    assert look("installation", host, service=running()).state == "activated"
    assert len(script.asked) == 2


# --- program ---------------------------------------------------------------------------------------------


@pytest.fixture
def program_of(stage, look, running):
    """What the program is looked for with, where the unit runs this one."""

    def make(executable=DAEMON):
        host, _ = stage(files(**{CONF: ACTIVATED, OTHER_CONF: MISSING, "/etc/qualys/hostid": UUID}))
        service = running(executable)
        return {"service": service, "installation": look("installation", host, service=service)}

    return make


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("total 4\n-rwx------ 1 root root 9 Mar 23 12:00 qualys-cloud-agent\n", "in place"),
        ("total 0\n", f"{DAEMON} is missing"),
        ((2, "", "ls: cannot access 'bin': No such file or directory"), f"{DAEMON} is missing"),
    ],
)
def test_the_program_is_looked_for_in_its_folder(stage, look, program_of, answer, state):
    needs = program_of()
    host, script = stage({"ls -l ": answer})
    assert look("program", host, **needs).state == state
    assert script.asked == [f"sudo -n ls -l {DAEMON.parent}"]


def test_a_unit_that_names_no_program_is_looked_at(stage, look, program_of):
    needs = program_of("[not set]")
    assert needs["service"].executable is None
    host, _ = stage({"ls -l ": "qualys-cloud-agent"})
    assert look("program", host, **needs).state == "in place"


def test_a_unit_that_runs_something_else_is_not_judged_by_the_daemons_file(stage, look, program_of):
    needs = program_of("/bin/sh")
    host, script = stage()
    with pytest.raises(NotApplicable, match=rf"runs /bin/sh, which is not the agent's own {DAEMON}"):
        look("program", host, **needs)
    assert script.asked == []


def test_a_folder_that_may_not_be_listed_says_nothing(stage, look, program_of):
    needs = program_of()
    host, _ = stage({"ls -l ": (2, "", "ls: cannot open directory: Permission denied")})
    with pytest.raises(Denied):
        look("program", host, **needs)
