"""What a real run leaves behind: whole, redacted, sealed; and what is left of one that was killed."""

import functools
import http.server
import json
import re
import resource
import shutil
import subprocess
import threading
from itertools import pairwise

import pytest

from qualys_verify.cli import main
from qualys_verify.standin.install import CONFIGURATION

UNREACHABLE = "ssh://127.0.0.1:1"
FILES = {
    "SHA256SUMS",
    "VERIFY.md",
    "journal.jsonl",
    "junit.xml",
    "oscal-assessment-results.json",
    "pytest.html",
    "report.html",
    "results.csv",
    "run.json",
    "test-result.intoto.json",
}
# Planted where secrets stand on real hosts and in real pipelines; none of them belongs to anybody.
SECRETS = {
    "activation": "0a1b2c3d-4e5f-4a6b-8c7d-00c0ffee0001",
    "customer": "0a1b2c3d-4e5f-4a6b-8c7d-00c0ffee0002",
    "agent": "0a1b2c3d-4e5f-4a6b-8c7d-00c0ffee0003",
    "proxy": "pr0xy-Passw0rd",
    "header": "t0ken-in-a-header",
    "payload": "t0ken-in-a-payload",
    "plain": "ZqAgentUser77",
    "banner": "b4nner-Passw0rd",
    "environment": "env-Passw0rd",
    "option": "0ption-Passw0rd",
}


def evidence(ran):
    return (ran.folder / "reports/latest").resolve()


def holds(folder, *arguments):
    return main(["verify", str(folder), *arguments]) == 0


@pytest.fixture(scope="module")
def demo(run):
    return run("--hosts=demo://healthy")


def test_a_run_leaves_everything_and_nothing_else(demo):
    folder = evidence(demo)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    per_host = {name for name in names if "/" in name}
    assert names - per_host == FILES
    assert len([name for name in per_host if name.startswith("transcripts/")]) == 3
    assert len([name for name in per_host if name.startswith("hdf/")]) == 3


def test_it_is_for_its_owner_alone(demo):
    folder = evidence(demo)
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*")) if path.is_dir()} == {0o700}


def test_it_holds_by_our_own_command_and_by_sha256sum(demo):
    folder = evidence(demo)
    assert holds(folder)
    checked = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_the_chain_can_be_followed_with_nothing_but_sha256sum(demo):
    lines = (evidence(demo) / "journal.jsonl").read_bytes().splitlines()
    for line, following in pairwise(lines[:5]):
        digest = subprocess.run(["sha256sum"], input=line, capture_output=True, check=True).stdout[:64]
        assert json.loads(following)["previous"] == digest.decode()


def test_run_json_tells_who_did_what_where_and_on_which_hosts(demo):
    told = json.loads((evidence(demo) / "run.json").read_text())
    run = told["run"]
    assert run["user"]
    assert run["controller"]
    assert re.fullmatch(r"[0-9a-f]{64}", run["runbook"])
    assert run["started"] < run["ended"] < run["expires"]
    assert run["command"][0] == "pytest"
    assert "--hosts=demo://healthy" in run["command"]
    assert run["exit_status"] == 0
    assert {"pytest", "Python", "OpenSSH"} <= run["tools"].keys()
    assert told["coverage"]["expected"] == told["coverage"]["assessed"] == sum(told["verdicts"].values())
    for host in told["hosts"]:
        assert re.fullmatch(r"SHA256:\S{43}", host["identity"]["host key"])
        assert host["identity"]["machine-id"]
        assert (evidence(demo) / host["transcript"]).is_file()


def test_passed_checks_have_their_commands_in_the_transcripts(demo):
    told = json.loads((evidence(demo) / "run.json").read_text())
    transcript = (evidence(demo) / told["hosts"][0]["transcript"]).read_text()
    assert "systemctl show qualys-cloud-agent" in transcript
    assert re.search(r"exit status:? 0", transcript)
    assert re.search(r"attempt:? 2", transcript), "a poll's second look"


def test_a_run_that_is_killed_leaves_a_journal_that_is_rendered_as_incomplete(start, until):
    running = start("--hosts=demo://healthy?delay=60")
    folder = running.folder / "reports"
    until(lambda: any(b'"kind":"reading"' in path.read_bytes() for path in folder.glob("*/journal.jsonl")))
    running.kill()
    until(lambda: not any("standin" in told for told in running.left_behind))
    (left,) = folder.iterdir()
    assert main(["render", str(left)]) == 0
    told = json.loads((left / "run.json").read_text())
    assert told["run"]["ended"] is None
    assert told["verdicts"]["compliant"] == 0
    assert told["verdicts"]["inconclusive"] == told["coverage"]["expected"] > 0
    assert any(host["observations"] for host in told["hosts"]), (
        "whichever host had been looked at when it ended"
    )
    assert "incomplete" in (left / "report.html").read_text().lower()
    assert main(["verify", str(left)]) == 1


@pytest.fixture
def leaky(standins, tmp_path):
    """A host that has secrets wherever one may have them, as it was before afterwards."""
    host = standins["runbook"]
    saved = (
        shutil.copytree(host.root / "etc", tmp_path / "etc"),
        shutil.copytree(host.root / "var/log", tmp_path / "log"),
    )
    configuration = host.root / CONFIGURATION / "qualys-cloud-agent.conf"
    text = configuration.read_text()
    for key, name in (("ActivationId", "activation"), ("CustomerId", "customer"), ("SudoUser", "plain")):
        text = re.sub(rf"^{key}=.*$", "", text, flags=re.MULTILINE) + f"\n{key}={SECRETS[name]}\n"
    configuration.write_text(text)
    (host.root / "etc/qualys/hostid").write_text(SECRETS["agent"])
    log = host.root / "var/log/qualys/qualys-cloud-agent.log"
    last = log.read_text().splitlines()[-1]
    head = last[: last.index("]:[Information]")] + "]:[Information]:[1]:"
    log.write_text(
        log.read_text()
        + f"{head}Proxy http://ops:{SECRETS['proxy']}@proxy:3128 for {SECRETS['customer'].upper()}\n"
        + f"{head}Authorization: Bearer {SECRETS['header']}\n"
        + f'{head}answer\n{{"token": "{SECRETS["payload"]}", "agent": "{SECRETS["agent"]}"}}\n'
    )
    yield host
    for place, copy in zip(("etc", "var/log"), saved, strict=True):
        shutil.copytree(copy, host.root / place, dirs_exist_ok=True)


def test_no_planted_secret_is_found_anywhere(run, leaky):
    ran = run(
        *leaky.arguments,
        "-vv",
        "-rA",
        "--tb=long",
        "--showlocals",
        "--metadata",
        "deploy-password",
        SECRETS["option"],
        BUILD_URL=f"https://ci:{SECRETS['environment']}@ci.example/job/1",
    )
    kept = [path for path in ran.folder.rglob("*") if path.is_file() and "cache" not in path.parts]
    texts = {path.name: path.read_text(errors="replace").lower() for path in kept}
    texts["the terminal"] = (ran.out + ran.err).lower()
    assert {"junit.xml", "pytest.html", "report.html", "journal.jsonl"} <= texts.keys()
    found = {
        (name, place)
        for name, secret in SECRETS.items()
        for place, text in texts.items()
        if secret.lower() in text
    }
    assert found == set()
    told = json.loads((evidence(ran) / "run.json").read_text())
    assert {"uuid", "token", "url-password"} & set(told["run"]["redacted"])


WAIVERS = """
[[waiver]]
id = "W-1"
hosts = ["stuck"]
check = "test_vulnerability_scan_was_executed"
reason = "the agent is replaced next week"
approver = "A. Auditor"
ticket = "CHG-17"
effective = 2026-01-01
expires = {expires}
risk = "low"

[[waiver]]
id = "W-2"
hosts = ["db*"]
step = "1"
reason = "no such host"
approver = "A. Auditor"
ticket = "CHG-18"
effective = 2026-01-01
expires = 2999-01-01
risk = "low"
"""


@pytest.mark.parametrize(
    ("expires", "came"), [("2999-01-01", (0, "applied")), ("2026-01-02", (1, "expired"))]
)
def test_a_waiver_counts_until_it_expires_and_is_shown_with_its_approver(
    run, standin, tmp_path, expires, came
):
    status, state = came
    (tmp_path / "waivers.toml").write_text(WAIVERS.format(expires=expires))
    ran = run(
        *standin("stuck").arguments, f"--waivers={tmp_path}/waivers.toml", "-k", "vulnerability_scan_was"
    )
    assert ran.status == status, ran.out
    out = " ".join(ran.out.split())
    assert f"waiver W-1 {state}" in out
    assert "approved by A. Auditor" in out
    assert "waiver W-2 matched nothing" in out
    folder = evidence(ran)
    for name in ("run.json", "report.html", "results.csv", "junit.xml"):
        assert "W-1" in (folder / name).read_text(), name
    assert holds(folder)


def test_a_malformed_waiver_touches_no_host(run, canary, tmp_path):
    (tmp_path / "waivers.toml").write_text('[[waiver]]\nid = "W-1"\n')
    ran = run("--hosts=ssh://web1", *canary.arguments, f"--waivers={tmp_path}/waivers.toml")
    assert ran.status == 4
    assert "W-1 has no hosts" in ran.err
    assert not canary.was_touched


def test_a_baseline_says_what_became_of_each_sentence(run, standin):
    before = run(*standin("stuck").arguments, "-k", "unit_exists or vulnerability_scan_was")
    again = run(
        *standin("stuck").arguments,
        "-k",
        "unit_exists or vulnerability_scan_was",
        f"--baseline={evidence(before)}/run.json",
    )
    assert "1 still failing" in again.out
    told = json.loads((evidence(again) / "comparison.json").read_text())
    assert told["counts"]["unchanged"] == 1
    assert "still failing" in (evidence(again) / "comparison.html").read_text().lower()
    assert holds(evidence(again))


def test_evidence_is_signed(run, standin, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    (tmp_path / "signers").write_text(f"ops@example {(tmp_path / 'key.pub').read_text()}")
    ran = run(*standin("runbook").arguments, "-k", "unit_exists", f"--sign-key={tmp_path}/key")
    assert holds(evidence(ran), f"--allowed-signers={tmp_path}/signers", "--identity=ops@example")
    command = re.search(r"ssh-keygen -Y verify.*", (evidence(ran) / "VERIFY.md").read_text())[0]
    command = command.replace("../allowed_signers", f"{tmp_path}/signers").replace(
        "-I name", "-I ops@example"
    )
    checked = subprocess.run(["/bin/sh", "-c", command], cwd=evidence(ran), capture_output=True, check=False)
    assert b"Good" in checked.stdout


@pytest.mark.parametrize("kind", ["missing", "encrypted", "no key"])
def test_a_key_that_cannot_sign_touches_no_host(run, canary, tmp_path, kind):
    key = tmp_path / "key"
    if kind == "encrypted":
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    if kind == "no key":
        key.write_text("x")
    ran = run("--hosts=ssh://web1", *canary.arguments, f"--sign-key={key}")
    assert ran.status == 4
    assert str(key) in ran.err
    assert not canary.was_touched


class _Authority(http.server.BaseHTTPRequestHandler):
    """A time-stamping authority of the test's own, by openssl."""

    def __init__(self, folder, *arguments):
        self._folder = folder
        super().__init__(*arguments)

    def do_POST(self):
        (self._folder / "q.tsq").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        command = ["openssl", "ts", "-reply", "-queryfile", "q.tsq", "-config", "tsa.cnf", "-section", "tsa"]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, check=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(done.stdout)

    def log_message(self, *_):
        """Quiet."""


TSA = """
[tsa]
serial = ./serial
crypto_device = builtin
signer_cert = ./tsa.pem
signer_key = ./tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
[req]
distinguished_name = dn
x509_extensions = ext
prompt = no
[dn]
CN = the test's authority
[ext]
extendedKeyUsage = critical,timeStamping
basicConstraints = CA:FALSE
"""


@pytest.fixture
def authority(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path / "tsa"
    folder.mkdir()
    (folder / "tsa.cnf").write_text(TSA)
    (folder / "serial").write_text("01\n")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.pem -days 2 -config tsa.cnf"
    subprocess.run(command.split(), cwd=folder, capture_output=True, check=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Authority, folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", folder / "tsa.pem"
    server.shutdown()
    thread.join()
    server.server_close()


def test_evidence_is_stamped_with_the_time(run, standin, authority, tmp_path, capsys):
    url, certificate = authority
    ran = run(*standin("runbook").arguments, "-k", "unit_exists", f"--timestamp-url={url}")
    assert ran.status == 0, ran.out
    assert holds(evidence(ran), f"--timestamp-ca={certificate}")
    assert "time stamp: " in capsys.readouterr().out
    other = shutil.copytree(evidence(ran), tmp_path / "other")
    statement = other / "test-result.intoto.json"
    statement.write_bytes(statement.read_bytes() + b"\n")
    assert not holds(other, f"--timestamp-ca={certificate}")
    assert "time stamp of other does not hold" in capsys.readouterr().out


def test_an_authority_that_does_not_answer_is_said_and_the_run_does_not_end_well(run, standin):
    ran = run(*standin("runbook").arguments, "-k", "unit_exists", "--timestamp-url=http://127.0.0.1:1/")
    assert ran.status == 3
    assert "The evidence is not whole: no time stamp" in ran.out
    assert holds(evidence(ran)), "everything else is there"


# Plugins that break what the end of a run needs: as a package does that is replaced meanwhile, or an error without words.
BREAKS = {
    "no module": """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name == "qualys_verify.evidence.oscal":
            raise ImportError("cannot import name 'Table'")

sys.meta_path.insert(0, Gone())
""",
    "another module": """
import sys, types
sys.modules["qualys_verify.evidence.oscal"] = types.ModuleType("oscal")
""",
    "no words": """
from qualys_verify.evidence import bundle

def complete(folder, seal):
    raise OSError

bundle.complete = complete
""",
    "a defect": """
from qualys_verify.evidence import bundle
bundle.render_intoto = None
""",
}


@pytest.mark.parametrize("breaks", BREAKS)
def test_what_breaks_at_the_end_takes_neither_the_summary_nor_the_journal_away(
    run, standin, tmp_path, breaks
):
    (tmp_path / "breaks_the_end.py").write_text(BREAKS[breaks])
    ran = run(
        *standin("runbook").arguments, "-k", "unit_exists", "-p", "breaks_the_end", PYTHONPATH=str(tmp_path)
    )
    assert ran.status == 3
    assert "The evidence is not whole: " in ran.out
    assert "Traceback" not in ran.out + ran.err
    (folder,) = (ran.folder / "reports").glob("20*")
    assert f"qualys-verify render {folder}` makes the rest" in ran.out.replace("\n", "")
    assert main(["render", str(folder)]) == 0
    assert holds(folder)


def test_hosts_that_differ_only_in_what_is_taken_out_stay_two(run):
    ran = run("--hosts=ssh://127.0.0.1:1,ssh://127.0.0.2:1", "--redact-addresses", "-vv", "-k", "unit_exists")
    told = json.loads((evidence(ran) / "run.json").read_text())
    assert len({host["id"] for host in told["hosts"]}) == len(told["hosts"]) == 2
    assert told["coverage"]["expected"] == 2
    kept = [path for path in ran.folder.rglob("*") if path.is_file() and "cache" not in path.parts]
    texts = {path.name: path.read_text(errors="replace") for path in kept} | {"terminal": ran.out + ran.err}
    assert [name for name, text in texts.items() if "127.0.0." in text] == []
    assert holds(evidence(ran))


LEAKY_WAIVER = """
[[waiver]]
id = "W-1"
hosts = ["*"]
step = "1"
reason = "until password=w4iver-Passw0rd is changed"
approver = "A. Auditor"
ticket = "CHG-17"
effective = 2026-01-01
expires = 2999-01-01
risk = "low"
covers = ["inconclusive"]
"""


def test_secrets_in_waivers_addresses_and_logins_are_taken_out(run, tmp_path):
    (tmp_path / "waivers.toml").write_text(LEAKY_WAIVER)
    ran = run(
        f"--hosts={UNREACHABLE}",
        f"--waivers={tmp_path}/waivers.toml",
        "--timestamp-url=http://ops:t5a-Passw0rd@127.0.0.1:1/",
        *("-rA", "-vv", "-k", "unit_exists"),
        LOGNAME=b"ops\xff token=l0gin-Passw0rd",
    )
    assert ran.status == 3
    kept = [path for path in ran.folder.rglob("*") if path.is_file() and "cache" not in path.parts]
    for text in (ran.out, ran.err, *(path.read_text(errors="replace") for path in kept)):
        assert "Passw0rd" not in text
    assert "no time stamp" in ran.out
    assert holds(evidence(ran))


def test_a_refused_option_does_not_show_its_password(run):
    ran = run(f"--hosts={UNREACHABLE}", "--timestamp-url=ftp://ops:t5a-Passw0rd@tsa.example/")
    assert ran.status == 4
    assert "--timestamp-url is the address" in ran.err
    assert "Passw0rd" not in ran.out + ran.err


@pytest.mark.parametrize("option", ["--html", "--junitxml"])
def test_nothing_is_written_into_the_evidence_of_an_earlier_run(run, demo, option):
    ran = run(f"--hosts={UNREACHABLE}", f"{option}={evidence(demo)}/more")
    assert ran.status == 4
    assert "the evidence of an earlier run" in ran.err
    assert holds(evidence(demo))


@pytest.mark.parametrize(
    ("kibibytes", "status"), [(12, 3), (30, 6)], ids=["while it judges", "while it renders"]
)
def test_a_run_whose_disk_is_full_does_not_end_well_and_says_why(start, kibibytes, status):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kibibytes * 1024, hard))
    try:
        running = start(f"--hosts={UNREACHABLE}", "-p", "no:html", "-o", "addopts=")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    ran = running.end()
    assert ran.status == status, ran.out
    assert "File too large" in ran.out
    assert not list((ran.folder / "reports").glob("*/.*"))


def test_metadata_whose_name_tells_is_taken_out_whole(run):
    ran = run(
        f"--hosts={UNREACHABLE}",
        *("-vv", "-k", "unit_exists", "--metadata", "secretkey", "m3ta-Passw0rd"),
        '--metadata-from-json={"password":"m3ta-Passw0rd m0re-Passw0rd","a":{"token":"d33p-Passw0rd"}}',
    )
    kept = [path for path in ran.folder.rglob("*") if path.is_file() and "cache" not in path.parts]
    texts = {path.name: path.read_text(errors="replace") for path in kept} | {"terminal": ran.out + ran.err}
    assert [name for name, text in texts.items() if "Passw0rd" in text] == []
