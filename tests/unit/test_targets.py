import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testinfra.backend.ssh import SshBackend

from qualys_verify.targets import DemoSpec, Target, TargetError, inventory_digest, select


def only(spec):
    (target,) = select([spec]).targets
    return target


def refusal(*specs):
    """The sentence that refuses the specs: one line, and never a traceback's."""
    with pytest.raises(TargetError) as caught:
        select(specs)
    sentence = str(caught.value)
    assert sentence.isprintable()
    return sentence


@pytest.mark.parametrize(
    ("spec", "id_", "name", "user", "port"),
    [
        ("web1", "ssh://web1", "web1", None, None),
        (" web1 ", "ssh://web1", "web1", None, None),
        ("web1:2222", "ssh://web1:2222", "web1", None, 2222),
        ("ops@web1", "ssh://ops@web1", "web1", "ops", None),
        ("ssh://web1/", "ssh://web1", "web1", None, None),
        ("ssh://ops@web1.example.org.:22", "ssh://ops@web1.example.org.:22", "web1.example.org.", "ops", 22),
        ("ssh://web1:0022", "ssh://web1:22", "web1", None, 22),
        ("ssh://my_alias-2", "ssh://my_alias-2", "my_alias-2", None, None),
        ("ssh://203.0.113.7", "ssh://203.0.113.7", "203.0.113.7", None, None),
        ("ssh://ops@example.org@web1", "ssh://ops@example.org@web1", "web1", "ops@example.org", None),
        ("ssh://ops%40example.org@web1", "ssh://ops@example.org@web1", "web1", "ops@example.org", None),
        (r"ssh://DOMAIN\ops@web1", r"ssh://DOMAIN\ops@web1", "web1", r"DOMAIN\ops", None),
        ("ssh://machine$@web1", "ssh://machine$@web1", "web1", "machine$", None),
        ("::1", "ssh://[::1]", "::1", None, None),
        ("ssh://[2001:db8::1]", "ssh://[2001:db8::1]", "2001:db8::1", None, None),
        ("ssh://ops@[2001:db8::1]:2222", "ssh://ops@[2001:db8::1]:2222", "2001:db8::1", "ops", 2222),
        ("ssh://[fe80::1%eth0]", "ssh://[fe80::1%eth0]", "fe80::1%eth0", None, None),
        ("ssh://[fe80::1%25eth0]:22", "ssh://[fe80::1%eth0]:22", "fe80::1%eth0", None, 22),
        ("ssh://[fe80::1%eb0]", "ssh://[fe80::1%eb0]", "fe80::1%eb0", None, None),
        ("ssh://[::ffff:203.0.113.7]", "ssh://[::ffff:203.0.113.7]", "::ffff:203.0.113.7", None, None),
    ],
)
def test_ssh_hosts(spec, id_, name, user, port):
    assert only(spec) == Target(id_, "ssh", name, user, port)


@pytest.mark.parametrize("spec", ["local://", "local:///"])
def test_this_machine_only_by_its_scheme(spec):
    assert only(spec) == Target("local://", "local", "localhost")


@pytest.mark.parametrize(
    ("spec", "demo"),
    [
        ("demo://", DemoSpec("", None, None)),
        ("demo://healthy", DemoSpec("healthy", None, None)),
        ("demo://?hosts=3", DemoSpec("", 3, None)),
        ("demo://healthy?hosts=1000&delay=0.5", DemoSpec("healthy", 1000, 0.5)),
        ("demo://?delay=0", DemoSpec("", None, 0.0)),
    ],
)
def test_the_demo(spec, demo):
    assert select([spec]).demo == demo
    assert select([spec]).targets == ()


def test_several_hosts_keep_their_order_and_the_demo_may_be_among_them():
    selection = select(["web2,demo://", "web1"])
    assert [target.id for target in selection.targets] == ["ssh://web2", "ssh://web1"]
    assert selection.demo == DemoSpec("", None, None)


def test_all_pods_are_looked_up_later():
    selection = select(["kubectl://*?namespace=qualys&selector=a=b,c!=d,e&context=user@prod+eu,web1"])
    (spec,) = selection.pods
    assert dict(spec.settings) == {"namespace": "qualys", "selector": "a=b,c!=d,e", "context": "user@prod+eu"}
    assert [target.id for target in selection.targets] == ["ssh://web1"]
    assert select(["kubectl://*,kubectl://*?context=b"]).pods[0].settings == ()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("ansible://all?ansible_inventory=/no/such/file", "no inventory"),
        ("kubectl://pod?nmspace=x", "unknown setting"),
        ("kubectl://pod?selector=a=b", "unknown setting 'selector'"),
        ("kubectl://*?nmspace=x", "kubectl://* knows namespace, selector"),
        ("kubectl://*?namespace=", "namespace has no usable value"),
        ("kubectl://*?selector=a in (b)", "selector has no usable value"),
        ("kubectl://*pod", "a name with * is no pod"),
        ("kubectl://a/b/c", "is no pod"),
        ("kubectl://", "is no pod"),
        ("docker://-v", "is no container"),
        ("salt://web1", "unknown scheme"),
        ("paramiko://web1", "ssh://, local://, docker://"),
        ("://web1", "unknown scheme"),
        ("ssh://", "is no host"),
        ("ssh://ops@", "is no host"),
        ("ssh://@web1", "no usable user"),
        ("ssh://-l@web1", "no usable user"),
        ("ssh://o ps@web1", "no usable user"),
        ("ssh://o%20ps@web1", "no usable user"),
        ("ssh://web1:", "is no host"),
        ("ssh://[::1]:", "is no host"),
        ("ssh://[::1", "is no host"),
        ("ssh://[]", "is no host"),
        ("ssh://[web1]", "is no host"),
        ("ssh://[::1]x", "is no host"),
        ("ssh://1:2:3", "is no host"),
        ("ssh://[fe80::1%$(id)]", "is no host"),
        ("ssh://web 1", "is no host"),
        ("ssh://web;id", "is no host"),
        ("ssh://web%0a1", "is no host"),
        ("ssh://web\n1", "is no host"),
        ("ssh://web\x1b[31m1", "is no host"),
        ("ssh://wéb", "is no host"),
        ("ssh://web1:0", "no usable port"),
        ("ssh://web1:65536", "no usable port"),
        ("ssh://web1:x", "no usable port"),
        ("ssh://web1:-1", "no usable port"),
        ("ssh://web1:\u0662", "no usable port"),
        ("ssh://web1?sudo=true", "more than user, host and port"),
        ("ssh://web1/path", "more than user, host and port"),
        ("local://web1", "this machine"),
        ("demo://?speed=1", "unknown setting 'speed'"),
        ("demo://?hosts=0", "whole number from 1 to 1000"),
        ("demo://?hosts=1.5", "whole number from 1 to 1000"),
        ("demo://?hosts=", "whole number from 1 to 1000"),
        ("demo://?delay=-1", "number from 0 to 3600"),
        ("demo://?delay=x", "number from 0 to 3600"),
        ("demo://?delay=nan", "number from 0 to 3600"),
        ("demo://,demo://healthy", "named twice"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(spec, says):
    assert says in refusal(spec)


@pytest.mark.parametrize(
    "spec",
    [
        "-oProxyCommand=id",
        "ssh://-oProxyCommand=id",
        "ssh://-oProxyCommand=id@web1",
        "ssh://ops@-oProxyCommand=id",
        "ssh://web1%20-oProxyCommand=id",
        "ssh://%2doProxyCommand=id",
        "ssh://[-oProxyCommand=id]",
        "--help",
    ],
)
def test_no_host_is_an_option_of_ssh(spec):
    assert refusal(spec)


@pytest.mark.parametrize(
    "spec",
    [
        "ssh://ops:SECRET@web1",
        "ops:SECRET@web1",
        "ssh://ops:SECRET@SECRET@web1",
        "ssh://ops:SECRET/SECRET@web1",
        "ssh://ops:SECRET?SECRET@web1",
        "ssh://ops:SECRET,SECRET@web1",
        "ssh://ops:SECRET/SECRET,x@web1",
        "ssh://o ps:SECRET,x@web1",
        "ssh://ops:SECRET@web1,,web2",
        "ssh://ops:SECRET@-web1",
        "ssh://ops:SECRET@web1:x",
        "ansible://ops:SECRET@web1",
        "local://ops:SECRET@web1",
        "ops:SECRET@web1://",
    ],
)
def test_a_password_is_refused_and_not_repeated(spec):
    assert "SECRET" not in refusal(spec)


def test_a_password_in_an_inventory_is_not_repeated_even_if_it_looks_like_a_comment(tmp_path):
    inventory = tmp_path / "hosts"
    inventory.write_text("ssh://ops:SEC#RET@web1\n")
    assert "SEC" not in refusal(f"@{inventory}")


@pytest.mark.parametrize("specs", [[""], [" "], ["web1,"], [",web1"], ["web1", ""]])
def test_an_empty_host_is_a_variable_that_is_not_set(specs):
    assert "empty host" in refusal(*specs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("web1", "web1"),
        ("web1", "ssh://web1"),
        ("web1", "WEB1"),
        ("web1", "web1:22"),
        ("web1", "ops@web1"),
        ("web1.example.org", "web1.example.org."),
        ("web1", "web%31"),
        ("ssh://ops@web1:2222", "ssh://root@web1:02222"),
        ("::1", "[0:0:0:0:0:0:0:1]:22"),
        ("[2001:db8::A]", "[2001:DB8::a]"),
        ("[fe80::1%eth0]", "[fe80::1%25eth0]"),
        ("local://", "local:///"),
    ],
)
def test_one_host_under_two_names_is_refused(one, other):
    assert "named" in refusal(f"{one},{other}")
    assert "named" in refusal(one, other)


@pytest.mark.parametrize("other", ["web10", "web1:2222", "web1.example.org", "local://", "[fe80::1%eth0]"])
def test_different_hosts_are_not_the_same(other):
    assert len(select(["web1,[fe80::1%eth1]", other]).targets) == 3


def test_an_inventory_has_a_host_a_line(tmp_path):
    inventory = tmp_path / "hosts"
    inventory.write_bytes(b"\xef\xbb\xbfweb1 # the first\r\n\r\n# none\r\n  ssh://ops@web2:22  \r\nlocal://")
    ids = [target.id for target in select([f"web0,@{inventory}"]).targets]
    assert ids == ["ssh://web0", "ssh://web1", "ssh://ops@web2:22", "local://"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# web1\n", b"\xef\xbb\xbf"])
def test_an_inventory_without_a_host_is_refused(tmp_path, content):
    (tmp_path / "hosts").write_bytes(content)
    assert "names no host" in refusal(f"@{tmp_path}/hosts")


@pytest.mark.parametrize("content", [b"\xff\xfew\x00e\x00", b"web1\n\x80\n", b"\x7fELF\x00\x00", b"web1\x00"])
def test_a_binary_inventory_is_refused(tmp_path, content):
    (tmp_path / "hosts").write_bytes(content)
    assert refusal(f"@{tmp_path}/hosts")


@pytest.mark.parametrize("name", ["", "missing", ".", "~nobody-of-this-name/hosts"])
def test_an_inventory_that_cannot_be_read_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert "cannot be read" in refusal(f"@{name}")


def test_an_inventory_in_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Path(tmp_path, "hosts").write_text("web1")
    assert only("@~/hosts").id == "ssh://web1"


def test_an_inventory_does_not_name_another(tmp_path):
    (tmp_path / "hosts").write_text("@more\n")
    assert "name both in --hosts" in refusal(f"@{tmp_path}/hosts")


def test_the_digest_of_an_inventory_is_that_of_its_sorted_ids_whatever_their_order():
    targets = select(["web2,ssh://ops@web1,web10,local://"]).targets
    line = "printf '%s\\n' ssh://web2 ssh://ops@web1 ssh://web10 local:// | LC_ALL=C sort | sha256sum"
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert inventory_digest(targets) == inventory_digest(reversed(targets)) == said.split()[0]
    assert inventory_digest(targets[1:]) != inventory_digest(targets)


SPECS = st.one_of(
    st.text(max_size=30),
    st.from_regex(
        r"(ssh://)?([a-zA-Z0-9_.%@\\-]{0,8}@)?[a-zA-Z0-9_.%\[\]:-]{0,20}(:[0-9]{0,6})?/?", fullmatch=True
    ),
    st.ip_addresses(v=6).map("ssh://[{}]".format),
    st.from_regex(r"(local|demo|docker)://[a-z?&=0-9.]{0,12}", fullmatch=True),
)


@given(st.lists(SPECS.filter(lambda spec: not spec.lstrip().startswith("@")), max_size=4))
def test_whatever_is_asked_for_there_are_targets_or_one_sentence(specs):
    try:
        selection = select(specs)
    except TargetError as error:
        assert str(error).isprintable()  # noqa: PT017  # it need not be refused
        return
    ids = [target.id for target in selection.targets]
    assert len(set(ids)) == len(ids)
    for target in selection.targets:
        assert not target.name.startswith("-")
        assert not (target.user or "").startswith("-")


@given(SPECS.filter(lambda spec: not spec.lstrip().startswith("@")))
def test_testinfra_reads_what_was_meant_and_the_id_means_the_same_host(spec):
    try:
        targets = [target for target in select([spec]).targets if target.scheme == "ssh"]
    except TargetError:
        return
    for target in targets:
        read = SshBackend.parse_hostspec(target.netloc)
        port = str(target.port) if target.port else None
        assert (read.name, read.user, read.port, read.password) == (target.name, target.user, port, None)
        assert only(target.id.replace("%", "%25")).place == target.place
