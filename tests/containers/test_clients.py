"""Pods by every kind of kubectl: the same whether it enters them over WebSocket or over SPDY, and the same verdicts.

Before 1.30 kubectl speaks SPDY only; a newer one does where WebSocket is refused, or switched off.
"""

import time
from dataclasses import dataclass, field

import pytest

from qualys_verify.reasons import Gone, TimedOut, Unreachable
from qualys_verify.standin.faults import FAULTS
from qualys_verify.standin.pods import Trait
from tests.containers.client import UNASKED, clients
from tests.containers.test_cluster_runs import FAST, hosts, requests
from tests.containers.test_pods import lose, says, targets_of
from tests.faults.matrix import load, observe
from tests.plugin.conftest import Running

SPDY, WEBSOCKET = "SPDY/3.1", "websocket"
OFF = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
NEWEST = max([*clients(), UNASKED])


@dataclass(frozen=True)
class Way:
    """A client by its minor version, what is set for it, what its cluster refuses; and what it then asks for."""

    minor: int
    asks: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    refuse: dict[str, int] = field(default_factory=dict)


WAYS = {
    "1.27": Way(27, (SPDY,)),
    "1.29": Way(UNASKED - 1, (SPDY,)),
    "1.30": Way(UNASKED, (WEBSOCKET,)),
    "newest": Way(NEWEST, (WEBSOCKET,)),
    "newest-off": Way(NEWEST, (SPDY,), environment=OFF),
    "newest-refused": Way(NEWEST, (WEBSOCKET, SPDY), refuse={"get pods/exec": 403}),
    "newest-400": Way(NEWEST, (WEBSOCKET, SPDY), refuse={"get pods/exec": 400}),
}
BY_SPDY = ("1.29", "newest-off", "newest-refused")


@pytest.fixture(params=WAYS)
def way(request, kubectl, tmp_path, monkeypatch):  # noqa: ARG001  # skips without it
    """Have `kubectl` be that client; a skip where it is not on this machine."""
    chosen = WAYS[request.param]
    if chosen.minor not in clients():
        pytest.skip(f"there is no kubectl 1.{chosen.minor} here, as kubectl or beside it")
    client = tmp_path / "bin/kubectl"
    client.parent.mkdir()
    client.symlink_to(clients()[chosen.minor])
    monkeypatch.setenv("PATH", str(client.parent), prepend=":")
    monkeypatch.delenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", raising=False)
    for name, value in chosen.environment.items():
        monkeypatch.setenv(name, value)
    return chosen


by_spdy = pytest.mark.parametrize("way", BY_SPDY, indirect=True)


@pytest.fixture
def cluster(way, standin):
    """A cluster as the client needs it to be asked in its way, with whatever else is odd about it."""

    def start(refuse=(), **trait):
        return standin(c=Trait(refuse=way.refuse | dict(refuse), **trait))

    return start


def upgrades(c):
    return tuple(entry["upgrade"] for entry in c.asked(resource="pods/exec"))


# --- streams and status ----------------------------------------------------------------------------------


def test_streams_and_status_are_passed_on_by_the_protocol_that_the_client_asks_for(way, cluster):
    c = cluster()
    done = c.kubectl(
        "exec", "-i", "agent-1", "--", "/bin/sh", "-c", "cat; echo err >&2; exit 7", input="typed\n"
    )
    assert (done.stdout, done.returncode) == ("typed\n", 7)
    assert done.stderr.startswith("err\n")
    assert upgrades(c) == way.asks


@pytest.mark.usefixtures("way")
def test_without_input_and_where_nothing_can_run(cluster):
    c = cluster()
    assert c.kubectl("exec", "agent-1", "--", "hostname").stdout == "agent-1\n"
    assert "OCI runtime exec failed" in c.kubectl("exec", "agent-1", "--", "/no/such").stderr
    assert "not valid for pod" in c.kubectl("exec", "agent-1", "-c", "other", "--", "true").stderr


@pytest.mark.usefixtures("way")
def test_much_in_both_directions(cluster):
    """More than a window of SPDY's holds, which kubectl never opens again."""
    c = cluster()
    big = "\n".join("x" * 99 for _ in range(30_000))
    assert c.kubectl("exec", "-i", "agent-1", "--", "cat", input=big).stdout == big


@pytest.mark.usefixtures("way")
def test_input_that_ends_early_is_no_end_of_the_output(cluster):
    c = cluster()
    script = "cat >/dev/null; sleep 1; echo after"
    assert c.kubectl("exec", "-i", "agent-1", "--", "/bin/sh", "-c", script, input="").stdout == "after\n"


# --- the suite -------------------------------------------------------------------------------------------


def test_a_whole_run_ends_green_with_one_shell_and_one_request_of_each_type(way, cluster, tmp_path_factory):
    c = cluster()
    ran = Running(tmp_path_factory.mktemp("run"), (hosts(c), *FAST), {}).end()
    assert ran.status == 0, ran.out
    assert ran.outcomes == {"passed": 17, "skipped": 2}
    assert requests(c, "agent-1") == {"type=vm": 1, "type=inv": 1}
    assert upgrades(c) == way.asks
    assert ran.left_behind == []


@pytest.mark.parametrize("way", ["1.29", "newest-off"], indirect=True)
@pytest.mark.usefixtures("way")
def test_each_fault_of_containers_gets_the_verdict_and_the_sentence_that_it_gets_over_websocket(tmp_path):
    names = [name for name, fault in FAULTS.items() if fault.trait is not None]
    expected = load()
    assert observe(names, tmp_path) == {name: expected[name] for name in names}


# --- refused ---------------------------------------------------------------------------------------------


@by_spdy
@pytest.mark.parametrize(
    ("code", "sentence"),
    [(403, 'resources: ["pods/exec"], verbs: ["create"]'), (401, "does not know who asks")],
)
def test_a_pod_that_may_not_be_entered_names_the_rule(cluster, enter, code, sentence):
    c = cluster({"create pods/exec": code})
    with pytest.raises(Unreachable) as error:
        enter(targets_of(c)[0]).run(["true"])
    assert sentence in str(error.value)


# --- slow, and lost --------------------------------------------------------------------------------------


@by_spdy
def test_one_shell_for_all_that_is_run_even_if_the_cluster_answers_slowly(way, cluster, enter):
    c = cluster(slow=0.3)
    at = enter(targets_of(c)[0])
    assert says(at, "hostname", "exit 3") == ["agent-1", ""]
    assert says(at, "cat /etc/qualys/hostid")[0].startswith("decafbad-")
    assert upgrades(c) == way.asks


@by_spdy
def test_a_command_that_hangs_ends_its_shell_and_the_next_gets_another(cluster, enter):
    at = enter(targets_of(cluster())[0], seconds=8)
    assert says(at, "echo a") == ["a"]
    with pytest.raises(TimedOut, match=r"agent-1.*no answer within 8 s"):
        at.run(["sleep 60"])
    assert says(at, "echo b") == ["b"]


@by_spdy
def test_a_connection_that_is_lost_is_no_answer_although_kubectl_ends_well(cluster, enter):
    """Over SPDY kubectl ends with status 0 then."""
    c = cluster()
    at = enter(targets_of(c)[0])
    reason = lose(c, at, "hang-up")
    assert not isinstance(reason, Gone)
    assert "was lost while `sleep 20` ran" in str(reason)
    assert says(at, "hostname") == ["agent-1"]


@by_spdy
@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ("delete", "it was deleted or moved while it was looked at"),
        ("reschedule", "it was deleted or moved while it was looked at"),
        ("restart", "its container was restarted or replaced (OOMKilled, exit status 137)"),
    ],
)
def test_a_pod_that_goes_in_the_middle_is_named_as_such(cluster, enter, wish, sentence):
    c = cluster()
    reason = lose(c, enter(targets_of(c)[0]), wish)
    assert isinstance(reason, Gone)
    assert sentence in str(reason)


@pytest.mark.usefixtures("way")
def test_a_connection_that_is_lost_as_soon_as_it_is_accepted_is_not_waited_for(cluster, enter):
    """Newer clients wait for half a minute then, if they speak SPDY."""
    c = cluster(drops=True)
    at, started = enter(targets_of(c)[0], seconds=3), time.monotonic()
    with pytest.raises(
        (TimedOut, Unreachable), match=r"no answer within 3 s|its answer was cut off"
    ) as error:
        at.run(["true"])
    assert str(error.value).startswith("kubectl://")
    assert time.monotonic() - started < 8
