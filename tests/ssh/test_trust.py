"""known_hosts, against OpenSSH's own reader: `ssh-keygen -F`."""

import subprocess

import asyncssh
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qualys_verify.ssh.trust import is_named, read_known_hosts

KEYS = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(3)]
TEXTS = [key.export_public_key().decode().strip() for key in KEYS]
PUBLIC = [key.convert_to_public() for key in KEYS]


def trust(text, name, port=22):
    return read_known_hosts([text]).trust(name, port)


def test_the_first_word_names_hosts():
    found = trust(f"web1,10.0.0.1 {TEXTS[0]}\nweb2 {TEXTS[1]}\n", "web1")
    assert (found.keys, found.authorities, found.revoked) == ((PUBLIC[0],), (), ())
    assert trust(f"web1 {TEXTS[0]}\n", "web3").keys == ()


def test_files_add_up():
    assert read_known_hosts([f"web1 {TEXTS[0]}", f"* {TEXTS[1]}"]).trust("web1").keys == tuple(PUBLIC[:2])


def test_capital_letters_make_no_difference():
    assert trust(f"WEB1 {TEXTS[0]}", "web1").keys == (PUBLIC[0],)
    assert trust(f"web1 {TEXTS[0]}", "Web1").keys == (PUBLIC[0],)


def test_a_network_is_no_pattern_and_an_address_no_name():
    """asyncssh's own reader has it otherwise."""
    assert trust(f"10.0.0.0/8 {TEXTS[0]}", "10.0.0.1").keys == ()


def test_another_port_has_keys_of_its_own_and_else_those_of_the_name():
    text = f"[web1]:2222 {TEXTS[0]}\nweb1 {TEXTS[1]}"
    assert trust(text, "web1", 2222).keys == (PUBLIC[0],)
    assert trust(text, "web1", 2223).keys == (PUBLIC[1],)
    assert trust(text, "web1").keys == (PUBLIC[1],)


def test_what_is_revoked_is_revoked_on_every_port():
    text = f"[web1]:2222 {TEXTS[0]}\n@revoked web1 {TEXTS[0]}"
    assert trust(text, "web1", 2222).revoked == (PUBLIC[0],)


def test_markers():
    found = trust(f"@cert-authority *.example.org {TEXTS[0]}\n@revoked * {TEXTS[1]}", "a.example.org")
    assert (found.keys, found.authorities, found.revoked) == ((), (PUBLIC[0],), (PUBLIC[1],))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# web1 KEY",
        "#web1 KEY",
        "@unknown web1 KEY",
        "web1",
        "web1 ssh-ed25519",
        "web1 ssh-ed25519 AAAA",
        "web1 nonsense AAAA",
        "|1|salt web1 KEY",
        "|2|AAAA|AAAA KEY",
        "1024 35 1234 web1",
    ],
)
def test_lines_that_say_nothing(line):
    found = trust(f"{line.replace('KEY', TEXTS[0])}\nweb1 {TEXTS[1]}", "web1")
    assert found.keys == (PUBLIC[1],)


NAME = st.text("abW1.-", min_size=1, max_size=6)
PATTERN = st.builds("{}{}".format, st.sampled_from(["", "!"]), st.text("abW1.-*?", min_size=1, max_size=5))


@settings(max_examples=40)
@given(name=NAME, hosts=st.lists(PATTERN, min_size=1, max_size=4))
def test_patterns_are_read_as_openssh_reads_them(tmp_path_factory, name, hosts):
    path = tmp_path_factory.mktemp("known") / "hosts"
    path.write_text(f"{','.join(hosts)} {TEXTS[0]}\n")
    done = subprocess.run(
        ["ssh-keygen", "-F", name, "-f", path], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    assert (done.returncode == 0) == is_named(name.lower(), ",".join(hosts))


@settings(max_examples=15)
@given(name=NAME, other=NAME)
def test_hashes_are_read_as_openssh_reads_them(tmp_path_factory, name, other):
    path = tmp_path_factory.mktemp("known") / "hosts"
    path.write_text(f"{name} {TEXTS[0]}\n")
    subprocess.run(
        ["ssh-keygen", "-H", "-f", path], capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    text = path.read_text()
    assert text.startswith("|1|")
    assert trust(text, name).keys == (PUBLIC[0],)
    assert (trust(text, other).keys == (PUBLIC[0],)) == (name.lower() == other.lower())
