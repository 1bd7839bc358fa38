"""Redaction: secrets are taken out wherever they stand, and nothing else is."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.evidence.redaction import Form, Learned, Redactor, Rule, load_rules, markers

UUID = "c0a8f00d-1234-4abc-9def-00d15ea5e000"


@pytest.fixture
def redactor():
    return Redactor(load_rules())


@pytest.mark.parametrize(
    ("text", "secret", "rule"),
    [
        (f"agent {UUID.upper()} answered", UUID.upper(), "uuid"),
        ("ActivationId=abcdef123456", "abcdef123456", "agent-id"),
        ('{"customerId": "abcdef123456"}', "abcdef123456", "agent-id"),
        (r"{\"AgentUuid\":\"abcdef123456\"}", "abcdef123456", "agent-id"),
        ("password=hunter2!", "hunter2!", "secret"),
        ("DB_PASSWORD: 'hun ter2'", "hun ter2", "secret"),
        ('"api_key" : "abc\\"def"', 'abc\\"def', "secret"),
        ("client-secret => s3cr3t", "s3cr3t", "secret"),
        ("tool --token s3cr3tvalue x", "s3cr3tvalue", "secret"),
        ("X-HMAC: ZGVhZGJlZWY=", "ZGVhZGJlZWY=", "secret"),
        ("https://x/?sig=aGVsbG8%3D&y=1", "aGVsbG8%3D", "secret"),
        ("Authorization: Basic b3BzOmh1bnRlcjI=", "b3BzOmh1bnRlcjI=", "token"),
        ("authorization: bearer abc.def-ghi_jkl", "abc.def-ghi_jkl", "token"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJ", "SflKxwRJ", "token"),
        ("proxy https://ops:hunter2@proxy:3128/", "hunter2", "url-password"),
        ("proxy http://ops:p@ss@proxy:3128/", "p@ss", "url-password"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----",
            "abc",
            "private-key",
        ),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc", "abc", "private-key"),
    ],
)
def test_a_secret_is_taken_out_and_its_rule_named(redactor, text, secret, rule):
    cleaned = redactor.clean(text)
    assert secret not in cleaned
    assert rule in markers(cleaned)
    assert redactor.clean(cleaned) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "active (running) for 3 d, starts at boot",
        "On-Demand-Request ControlId: 20240228164415.0",
        "2026-03-23 10:11:12.345 [qualys-cloud-agent][1234]:[Information]:CAPI event successfully completed",
        "sudo: a password is required",
        "sudo -n head -c 262144 /etc/qualys/hostid",
        "host key SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDKJ5pFU4Rro2bqH2A",
        "[65 bytes, SHA-256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08]",
        "machine-id 0123456789abcdef0123456789abcdef",
        "the login was refused: check the user and that the key is loaded",
        "ssh://ops@web1:2222",
        "ssh://[fe80::1]:22",
        "authentication error",
        "the token ring is up",
        "never activated: ActivationId and CustomerId not set or all zeros",
        "activate it with `qualys-cloud-agent.sh ActivationId=… CustomerId=…` from the Qualys UI",
        "10.0.0.1",
    ],
)
def test_nothing_else_is(redactor, text):
    assert redactor.clean(text) == text


def test_what_a_host_keeps_secret_is_learned(redactor):
    redactor.learn("agent-id", "  Zq9-Very-Own ", None, "", "abc")
    assert redactor.clean("id zq9-very-own, abc") == "id [redacted: agent-id], abc"


def test_a_host_may_be_called_like_a_secret(redactor):
    sentence = "ssh://reset-password: `sudo -n head` was refused, and token=abcdefgh"
    cleaned = redactor.clean_about("ssh://reset-password", sentence)
    assert cleaned == "ssh://reset-password: `sudo -n head` was refused, and token=[redacted: secret]"


def test_addresses_only_where_it_is_asked_for():
    redactor = Redactor(load_rules(addresses=True))
    assert redactor.clean("from 10.0.0.1 and fe80::1%eth0") == (
        "from [redacted: address] and [redacted: address]%eth0"
    )
    for text in ("kernel 6.1.0-18-amd64", "agent 6.1.2.3.4", "12:00:31", "at 2026-03-23T12:00:31Z"):
        assert redactor.clean(text) == text


def test_half_a_surrogate_pair_can_be_written(redactor):
    assert redactor.clean("a\udcffb").encode() == b"a\\udcffb"


def test_rules_of_a_site_are_added_and_replace_those_of_the_same_id(tmp_path):
    (tmp_path / "rules.toml").write_text("site = ['PROJECT-\\d+']\nuuid = []\n")
    redactor = Redactor(load_rules(tmp_path / "rules.toml"))
    assert redactor.clean(f"PROJECT-7 {UUID}") == f"[redacted: site] {UUID}"


@pytest.mark.parametrize("text", ["site = 'x'", "site = ['(']", "Site_1 = ['x']", "= 1"])
def test_rules_that_cannot_be_meant_are_one_sentence(tmp_path, text):
    (tmp_path / "rules.toml").write_text(text)
    with pytest.raises(ValueError, match=r"rules\.toml"):
        load_rules(tmp_path / "rules.toml")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("ProxyPassword=hunter2", "hunter2"),
        ("SSHPASS=hunter2", "hunter2"),
        (f'password="hunter2 {UUID} hunter3"', "hunter"),
        (f"password=hunter2{UUID}hunter3", "hunter"),
        (f"https://ops:hunter2{UUID}hunter3@proxy/", "hunter"),
        ("password='hunter2 and the end was cut off", "hunter2"),
        ('password="hunter2\nhunter3"', "hunter"),
        ('{"password":["hunter2"]}', "hunter2"),
        (r"{\"password\": \"hun hunter2\"}", "hunter2"),
        ("password%3Dhunter2%26x", "hunter2"),
        ("Cookie: a=b; c=hunter2", "hunter2"),
    ],
)
def test_a_secret_is_taken_out_whole(redactor, text, secret):
    cleaned = redactor.clean(text)
    assert secret not in cleaned
    assert redactor.clean(cleaned) == cleaned


def test_a_learned_id_within_a_secret_does_not_shield_the_rest_of_it(redactor):
    redactor.learn("agent-id", "Zq9-Very-Own")
    assert "hunter" not in redactor.clean("password=hunter2Zq9-Very-Ownhunter3")


@pytest.mark.parametrize("text", ["ssh://ops@auth:2222", "ssh://my-token:22: refused", "bypass: on"])
def test_names_that_sound_like_secrets_are_none(redactor, text):
    assert redactor.clean(text) == text


_LONG_LINES = (
    *(
        "-",
        "_",
        "a-",
        "a_",
        "--a-",
        '"',
        "'",
        "\\",
        '\\"',
        "://",
        "a://",
        "a:b",
        "f:",
        "1.",
        "token ",
        "token=",
    ),
    *('password="', "password='", "auth:", "Basic a", "eyJaaaaaa.", "-----BEGIN ", "01234567-", "xoxb-"),
)


@pytest.mark.parametrize("piece", _LONG_LINES)
def test_no_line_is_too_long_for_the_rules(piece):
    redactor = Redactor(load_rules(addresses=True))
    text, started = piece * (128 * 1024 // len(piece)), time.process_time()
    redactor.clean(text)
    assert time.process_time() - started < 0.5


def test_of_a_value_whose_name_tells_nothing_is_left(redactor):
    assert redactor.clean_value("deploy_password", "hunter2 and hunter3") == "[redacted: secret]"
    assert redactor.clean_value("secretkey", "hunter2") == "[redacted: secret]"
    assert redactor.clean_value("place", "Basel, and more") == "Basel, and more"
    words = ("pytest", "--password=hunter2 hunter3", "--token", "hunter2 hunter3", "-k", "not trigger")
    assert redactor.clean_words(words) == (
        "pytest",
        "--password=[redacted: secret]",
        "--token",
        "[redacted: secret]",
        "-k",
        "not trigger",
    )


FRAGMENTS = [
    *(
        "password",
        "PassWord",
        "token",
        "-token",
        "api_key",
        "auth",
        "sig",
        "cookie:",
        "HMAC",
        "Bearer ",
        "session-id",
    ),
    *(
        "=",
        ": ",
        " ",
        "\n",
        "'",
        '"',
        "://",
        "@",
        "x9",
        "hunter2hunter2",
        "a:b",
        "-----BEGIN RSA PRIVATE KEY-----",
    ),
    *(
        "customerId",
        "Host_Id",
        "AgentUuid",
        UUID,
        "eyJhbGciOiJI.eyJz.",
        "ghp_" + "a1" * 12,
        "pa\u017fsword",
        "\u212aey",
    ),
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join))
def test_a_rule_is_passed_over_only_where_it_would_find_nothing(text):
    rules = load_rules()
    always = [Rule(rule.id, tuple(Form(form.pattern) for form in rule.forms)) for rule in rules]
    assert Redactor(rules).clean(text) == Redactor(always).clean(text)


@given(
    st.lists(st.text("abcdef0-é", min_size=6, max_size=14), max_size=6),
    st.lists(st.text("abcdef0-é", max_size=20), max_size=4),
    st.data(),
)
def test_learned_secrets_are_found_as_if_each_were_looked_for(secrets, others, data):
    learned = Learned()
    for secret in secrets:
        learned.add(secret, "rule")
    parts = data.draw(st.permutations([*secrets[:2], *others]))
    text = "".join(parts)
    naive = [(secret, "rule") for secret in dict.fromkeys(secrets) if secret in text]
    assert learned.within(text) == naive


def test_a_fleets_secrets_are_not_looked_for_one_by_one():
    class Counted(str):
        __slots__ = ()
        asked = 0

        def __contains__(self, part):
            Counted.asked += 1
            return super().__contains__(part)

    learned = Learned()
    for number in range(2_000):
        learned.add(f"{number:08x}-0000-4000-8000-{number * 7919:012x}", "agent-id")
    text = Counted(
        "2026-03-23 10:11:12 information: status of the agent\n" * 200
        + f"id {7:08x}-0000-4000-8000-{7 * 7919:012x}"
    )
    assert [rule for _, rule in learned.within(text)] == ["agent-id"]
    assert Counted.asked == 1


def test_what_many_hosts_say_is_gone_through_once(monkeypatch):
    tried = []
    real = Form.may_match
    monkeypatch.setattr(Form, "may_match", lambda self, *texts: tried.append(self) or real(self, *texts))
    redactor = Redactor(load_rules())
    for _ in range(100):
        assert (
            redactor.clean("PRETTY_NAME=Debian password=hunter2")
            == "PRETTY_NAME=Debian password=[redacted: secret]"
        )
    assert len(tried) == len(set(tried))
    redactor.learn("agent-id", "Debian")
    assert "Debian" not in redactor.clean("PRETTY_NAME=Debian password=hunter2"), (
        "what is learned later counts"
    )
