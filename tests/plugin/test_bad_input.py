"""What cannot be meant is said in one line before any host is touched."""

import os

import pytest

from qualys_verify.targets import EXAMPLE


def refusal(ran):
    """The one line that a refused run consists of."""
    assert ran.status == 4
    assert ran.out == ""
    lines = [line for line in ran.err.splitlines() if line]
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("ERROR: ")
    assert ran.left_behind == []
    return lines[0]


def test_the_canary_sings(run, canary):
    ran = run(*canary.arguments, "--hosts=web1", "-k", "unit_exists")
    assert ran.status == 6
    assert canary.was_touched


def test_no_hosts(run):
    ran = run()
    assert ran.status == 4
    assert EXAMPLE in ran.err + ran.out
    assert "Traceback" not in ran.err + ran.out


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--hosts=web1,salt://all", "unknown scheme"),
        ("--hosts=web1,ops@WEB1:22", "named as"),
        ("--hosts=web1,", "empty host"),
        ("--hosts=", "empty host"),
        ("--hosts=web1,-oProxyCommand=id", "is no host"),
        ("--hosts=web1,ssh://ops:SECRET@web2", "use a key"),
        ("--hosts=web1,@{folder}/missing", "missing cannot be read"),
        ("--hosts=@{folder}/empty", "names no host"),
        ("--hosts=web1,@~nobody-of-this-name/hosts", "cannot be read"),
        ("--hosts=web1,demo://sick", "no demo 'sick'"),
        ("--hosts=web1,demo://?hosts=none", "whole number"),
        ("--hosts=web1,ansible://web?inventory=x", "unknown setting 'inventory'"),
        ("--hosts=ansible://web?ansible_inventory=/no/such", "there is no inventory /no/such"),
        ("--hosts=ssh://wbe*", "matches no Host"),
        ("--hosts=@{folder}/nested", "name both in --hosts"),
        ("--hosts=docker://", "is no container"),
        ("--hosts=podman://web*", "is no container"),
        ("--hosts=kubectl://", "is no pod"),
        ("--hosts=local://web", "this machine"),
        ("--hosts=demo://?faults=no-such", "no-such"),
        ("--cputhrottle=1001", "to 1000, not '1001'"),
        ("--cputhrottle=x", "not 'x'"),
        ("--scan-type=virus", "'virus' is none of them"),
        ("--agent-cli=both", "not 'both'"),
        ("--poll-interval=never", "not 'never'"),
        ("--agent-home=relative", "absolute path"),
        ("--log-patterns={folder}/missing", "cannot be used"),
        ("--ssh-identity-file={folder}/missing", "name a file that you may read"),
        ("--ssh-identity-file={folder}", "name a file that you may read"),
        ("--report-dir={folder}/empty/below-a-file", "no evidence can be written"),
        ("--html={folder}", "cannot be written"),
        ("--html={folder}/empty/x.html", "cannot be written"),
        ("--scan-type=vm,vmpc", "either vmpc or vm and pc"),
    ],
)
def test_what_cannot_be_meant(run, canary, tmp_path, argument, says):
    (tmp_path / "empty").touch()
    (tmp_path / "nested").write_text("@other\n")
    hosts = () if argument.startswith("--hosts") else ("--hosts=web1",)
    line = refusal(run(*canary.arguments, *hosts, argument.format(folder=tmp_path)))
    assert says in line
    assert "SECRET" not in line
    assert not canary.was_touched


def test_hosts_given_twice(run, canary):
    assert "given twice" in refusal(run(*canary.arguments, "--hosts=web1", "--hosts=web2"))
    assert not canary.was_touched


def test_a_key_that_may_not_be_read(run, canary, tmp_path):
    key = tmp_path / "key"
    key.touch(mode=0)
    try:
        key.read_bytes()
    except PermissionError:
        assert "Permission denied" in refusal(
            run(*canary.arguments, "--hosts=web1", f"--ssh-identity-file={key}")
        )
    else:
        pytest.skip("whoever runs this may read every file")


def test_a_name_that_does_not_resolve_is_a_host_that_could_not_be_assessed(run):
    ran = run("--hosts=no-such-host.invalid", "-k", "unit_exists")
    assert (ran.status, ran.outcomes) == (6, {"error": 1})
    assert "does not resolve" in ran.out


def test_a_demo_that_does_not_come_up(run, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'qualys_verify.standin.server' in sys.orig_argv: raise SystemExit('not today')\n"
    )
    modules = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ran = run("--hosts=demo://healthy", PYTHONPATH=modules)
    assert "did not come up" in ran.out + ran.err
    assert "Traceback" not in ran.out + ran.err
    assert ran.left_behind == []


def test_an_option_apart_from_its_value_is_refused_or_works(run, standin):
    """Pytest reads paths on the command line before it knows this suite's options: hence `--option=VALUE`."""
    host = standin("runbook")
    apart = [word for argument in host.arguments for word in argument.split("=", 1)]
    ran = run("-k", "unit_exists", *apart)
    assert ran.status == 4 or ran.outcomes == {"passed": 1}
    assert "Traceback" not in ran.out + ran.err
