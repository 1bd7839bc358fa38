"""The phrases as data: what is built in, what a site may override, and how long a look takes."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualys_verify.agent.patterns import is_of_another, is_own, load_patterns, matches, name_own

PATTERNS = load_patterns()
ID, OTHER = "20240228164415.1", "20240228164415.10"
LONGEST = 1 << 17


@pytest.mark.parametrize(
    ("scan_types", "message", "own", "other_only"),
    [
        (["vm"], "Manifest Type: VM", True, False),
        (["vm"], "INTERVAL_EVENT_VM", True, False),
        (["vm"], "Vulnerability scan", True, False),
        (["vm"], "Manifest Type: PC", False, True),
        (["vm"], "Manifest Type: VMPC", True, False),
        (["pc"], "Manifest Type: VMPC", True, False),
        (["pc"], "policy compliance", True, False),
        (["pc"], "VM and PC", True, False),
        (["pc"], "UPC, PCI, vmware", False, False),
        (["vm"], "vmware", False, False),
        (["udc"], "user-defined control", True, False),
        (["pc", "sca", "udc"], "SCA", True, False),
        (["inv"], "INV", True, False),
    ],
)
def test_applications_are_named_by_whole_words(scan_types, message, own, other_only):
    phrases = PATTERNS.of_request(scan_types)
    assert (phrases.names_own(message), phrases.names_other_only(message)) == (own, other_only)


@pytest.mark.parametrize(
    ("message", "control_id", "own", "another"),
    [
        (f"Control ID: {ID} done", ID, True, False),
        (f"Control ID: {ID}.", ID, True, False),
        (f"Control ID: {OTHER} done", ID, False, True),
        (f"{OTHER} after {ID}", ID, True, False),
        ("done", ID, False, False),
        (f"Control ID: {ID}", None, False, True),
    ],
)
def test_a_request_is_told_from_another(message, control_id, own, another):
    text = name_own(message, control_id)
    assert (is_own(text), is_of_another(text)) == (own, another)


@pytest.mark.parametrize(
    "message",
    [
        "0 failed",
        "no errors",
        "without any failures",
        "non-fatal",
        "0 of 12 checks failed",
        "failed: 0",
        "fatal errors = 0",
    ],
)
def test_what_is_not_meant_as_it_sounds_is_cut_out(message):
    gist = PATTERNS.gist(f"12 passed, {message}.")
    assert "12 passed" in gist
    assert not any(word in gist for word in ("fail", "error", "fatal"))


@pytest.mark.parametrize(
    "message", [f"{ID[:-1]}0 failed", "10 failed", "failed: 10", "HTTP/1.0 error", "error: 0x8007"]
)
def test_what_is_meant_stays(message):
    assert PATTERNS.gist(message) == message


def write(tmp_path, text):
    path = tmp_path / "phrases.toml"
    path.write_text(text)
    return path


def test_a_site_replaces_lists(tmp_path):
    own = load_patterns(
        write(tmp_path, "fatal = ['kaputt']\n[request]\ndone = ['{types} fertig {control_id}']\n")
    )
    assert matches(own.fatal, "KAPUTT")
    assert not matches(own.fatal, "fatal")
    assert own.noise == PATTERNS.noise
    phrases = own.of_request(["vm"])
    assert matches(phrases.done, name_own(f"VM fertig {ID}", ID))
    assert not matches(phrases.done, name_own(f"VM fertig {OTHER}", ID))
    assert phrases.started == PATTERNS.of_request(["vm"]).started


@pytest.mark.parametrize(
    "text",
    [
        "fatal =",
        "fatel = []",
        "fatal = 'x'",
        "fatal = [1]",
        "fatal = ['(']",
        "request = []",
        "[request]\nended = []",
        "[request]\ndone = ['(']",
        "[types]\nvm = ['(']",
        "[fatal]\n",
    ],
)
def test_a_file_that_cannot_be_meant_is_an_error(tmp_path, text):
    with pytest.raises(ValueError):
        load_patterns(write(tmp_path, text))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="cannot be used"):
        load_patterns(tmp_path / "none.toml")


REQUEST = PATTERNS.of_request(["vm"])
LISTS = {
    name: regexes
    for source in (PATTERNS, REQUEST)
    for name, regexes in vars(source).items()
    if name not in {"request", "types"}
}
WORDS = [
    "scan ",
    "start ",
    "upload ",
    "fail ",
    "CAPI ",
    "policy ",
    "vulnerability ",
    "manifest ",
    "no a ",
    "no a a a ",
]
WORDS += [
    "complete ",
    "done a a a ",
    "0 a a a ",
    "0 ",
    "{control_id} ",
    "VM ",
    "scan for VM ",
    "scan manifest type ",
    "% ",
]
WORDS += ["not ", "(", "fatal: ", "status ", "   ", "9", "20240228164415.1 ", "_", "disabled ", "step done "]


@pytest.mark.parametrize("word", WORDS)
def test_an_enormous_message_takes_no_time(word):
    message = word * (LONGEST // len(word))
    began = time.process_time()
    text = name_own(PATTERNS.gist(message), ID)
    for regexes in LISTS.values():
        matches(regexes, text)
    assert time.process_time() - began < 0.1


@given(st.text())
def test_any_message_is_read(message):
    text = name_own(PATTERNS.gist(message), ID)
    assert not (is_own(text) and is_of_another(text))
