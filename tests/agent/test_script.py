"""Which verbs a script dispatches on: wrappers that have them, and texts that only mention them."""

import random
import string
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qualys_verify.agent.script import VERBS, verbs_handled

ALL = set(VERBS)
LIMIT = 1 << 16  # a quarter of what is read of a script

WRAPPERS = {
    "case": """\
#!/bin/sh
case "$1" in
    status) show_status ;;
    scan) request vm ;;
    policy_eval) request pc ;;
    *) exec /opt/vendor/qualys-cloud-agent.sh "$@" ;;
esac
""",
    "case with alternatives, parentheses, quotes and no last ;;": """\
case ${1:-} in
  (-s | --scan | "scan") request vm;;
  ('status'|st) show_status;;
  policy_eval)
    request pc
esac
""",
    "case in one line": 'case "$1" in status) a;; scan) b;; policy_eval) c;; esac',
    "case on a lower-cased word": """\
case "$(echo "$1" | tr 'A-Z' 'a-z')" in
status) a ;;
scan) b ;;
policy_eval) c ;;
esac
""",
    "case in a loop over the arguments": """\
while [ $# -gt 0 ]; do
    case $1 in
        status) a ;;
        scan) b ;;
        policy_eval) c ;;
    esac
    shift
done
""",
    "case in backticks and with classes": """\
case `echo $1` in [Ss]tatus) a;; [Ss]can) b;; [Pp]olicy_eval) c;; esac
""",
    "case with a case inside a branch": """\
case "$1" in
    status)
        case "$(systemctl is-active qualys-cloud-agent)" in
            active) echo 'Last assessment: never' ;;
            *) exit 3 ;;
        esac
        ;;
    scan) b ;;
    policy_eval) c ;;
esac
""",
    "a case for each": """\
case "$1" in
    scan|status) a ;;
    *) case "$1" in policy_eval) b ;; esac ;;
esac
""",
    "if and elif": """\
#!/bin/sh
if [ "$1" = "status" ]; then
    a
elif [ "$1" = "scan" ]; then
    b
elif test "$1" = policy_eval; then
    c
fi
""",
    "a variable": """\
cmd="$1"
shift
if [ "$cmd" = status ]; then a; fi
if [ "$cmd" = scan ]; then b; fi
if [ "x$cmd" = "xpolicy_eval" ]; then c; fi
""",
    "bash": """\
#!/usr/bin/env bash
[[ $1 == status ]] && a
if [[ "${1,,}" == "scan" || "${1,,}" == "policy_eval" ]]; then b; fi
""",
    "bash with the constant first": '[[ status == $1 ]] && a; [ scan = "$1" ] && b; [ \'policy_eval\' = "$1" ] && c\n',
    "bash with a regular expression": 'if [[ "$1" =~ ^(status|scan|policy_eval)$ ]]; then exec real "$1"; fi\n',
    "functions called by name": """\
do_status() { a; }
do_scan() { b; }
function do_policy_eval { c; }
"do_$1" "$@"
""",
    "functions named as the verbs": 'status() { a; }\nscan() { b; }\npolicy_eval() { c; }\n"$@"\n',
    "quotes, comments and here-documents that could mislead a reader": """\
#!/bin/sh
# Don't call this with "status unless you mean it
usage() {
    cat <<-'END OF USAGE'
\tIt's the agent's script; don't "worry
\tEND OF USAGE
    cat <<EOF
case "$1" in
EOF
}
n=$(( 1 << 4 ))
first=${1#*=}; count=$#
echo "it\\"s \\$1" 'a # b'
case "$1" in
    status) a ;; # not 'yet
    scan) b ;;
    policy_eval) c ;;
    *) usage ;;
esac
""",
    "python": """\
#!/usr/bin/env python3
'''Wrapper: call it with "status".'''
import sys
if sys.argv[1] == "status":
    a()
elif sys.argv[1] == 'scan':
    b()
elif "policy_eval" == sys.argv[1]:
    c()
""",
    "python with match": """\
#!/usr/bin/python3
match sys.argv[1:]:
    case ["status"]: a()
    case "scan" | "policy_eval": b()
""",
    "python with argparse": """\
#!/usr/bin/python3
parser.add_argument("command", choices=["status", "scan", "policy_eval"])
""",
    "python with subcommands": """\
#!/usr/bin/python3
for name in NAMES: sub.add_parser(name)
sub.add_parser("status"); sub.add_parser("scan")
sub.add_parser("policy_eval", help="evaluate")
""",
    "python with a table": '#!/usr/bin/python3\n{"status": a, "scan": b, "policy_eval": c}[sys.argv[1]]()\n',
    "perl": """\
#!/usr/bin/perl
if ($ARGV[0] eq 'status') { a() } elsif ($ARGV[0] eq "scan") { b() }
my %more = (policy_eval => \\&c);
""",
}

MENTIONS = {
    "nothing": "",
    "comments": '#!/bin/sh\n# case "$1" in status) ;; scan) ;; policy_eval) ;; esac\ntrue # if [ "$1" = scan ]\n',
    "usage text": """\
usage() {
    echo "Usage: $0 status|scan|policy_eval are not known; use Key=Value"
    echo usage: $0 status / scan / policy_eval
    printf '%s\\n' 'case "$1" in' 'scan) ;;' 'policy_eval) ;;' 'esac'
}
""",
    "a here-document": """\
cat <<EOF
case "$1" in
    status) a ;;
    scan) b ;;
    policy_eval) c ;;
esac
EOF
cat <<-"EOF"
\tif [ "$1" = scan ] || [ "$1" = policy_eval ]; then
\tEOF
""",
    "a quoted text of several lines": """\
USAGE="
case \\"$1\\" in
    scan) b ;;
    policy_eval) c ;;
esac"
""",
    "a service's helper": """\
service_helper() {
    case "$1" in
        start|stop|status) systemctl "$1" qualys-cloud-agent ;;
    esac
}
[ "$1" = "status" ] && systemctl status qualys-cloud-agent
""",
    "a case over a constant": "case linux in status) ;; scan) ;; policy_eval) ;; esac",
    "assignments": "status=0 scan=1\ntype=scan\naction=policy_eval\ncmd=status\n",
    "words that contain them": 'case "$1" in scanner|rescan|scan-all) a;; policy_eval_all) b;; esac\n[ "$1" = last-scan ]\n',
    "sentences in a comparison": '[ "$said" = "no scan, no policy_eval" ] && true\n',
    "anything": 'case "$1" in *=*) key ;; [a-z]*) refuse ;; *) refuse ;; esac\n',
    "a refusal": """\
case "$1" in
    status|scan|policy_eval) echo "Error: Invalid key name in $1"; exit 255 ;;
    *=*) apply "$1" ;;
esac
""",
    "it is not": '[ "$1" != "scan" ] && [ "$1" != "policy_eval" ] && apply "$1"\n',
    "functions that nothing calls by name": 'scan() { a; }\npolicy_eval() { b; }\nmain "$@"\n',
    "python prose": '#!/usr/bin/python3\n"""\nif cmd == "scan": or cmd == "policy_eval":\n"""\nprint("scan, policy_eval") # == "scan"\n',
    "python names": '#!/usr/bin/python3\nscan = "scan"; policy_eval = run("policy_eval")\n',
}


@pytest.mark.parametrize("script", WRAPPERS.values(), ids=WRAPPERS.keys())
def test_a_script_with_the_verbs_is_seen_to_have_them(script):
    assert verbs_handled(script) == ALL
    assert verbs_handled(script.replace("\n", "\r\n")) == ALL


@pytest.mark.parametrize("script", MENTIONS.values(), ids=MENTIONS.keys())
def test_a_script_that_only_mentions_them_is_seen_to_have_none(script):
    assert verbs_handled(script) == set()


@pytest.mark.parametrize("mention", MENTIONS.values(), ids=MENTIONS.keys())
def test_a_mention_hides_no_verb(mention):
    if "python" not in mention:
        assert verbs_handled(f"{mention}\n{WRAPPERS['case']}") == ALL


@pytest.mark.parametrize(
    ("script", "verbs"),
    [
        ('case "$1" in scan) a ;; esac', {"scan"}),
        ('case "$1" in scan|status) a ;; esac', {"scan", "status"}),
        ('case "$1" in scan|policy_eval) a ;; esac', {"scan", "policy_eval"}),
        ('case "$1" in start|status) a;; esac; [ "$1" = scan ] && b', {"scan"}),
        ('#!/usr/bin/python3\nif command == "scan": a()\n', {"scan"}),
        ('case "$1" in status) a ;; scan) b ;; policy_eval) cut off he', ALL),
        (
            'case $1 in status) a ;; scan) echo "Invalid key" ;; policy_eval) c ;; esac',
            {"status", "policy_eval"},
        ),
        ('case $1 in scan) a\nesac\necho "Invalid key name"\n', {"scan"}),
        ("case $1 in \\scan) a ;; esac", {"scan"}),
        ('for x in one two; do [ "$x" = scan ] && a; done', set()),
        ('say y to "$1"; [ "$y" = scan ] && a', set()),
        ('say y; [ "$y" = scan ] && a', set()),
        ('( scan now; policy_eval now )\n"$@"\n', set()),
        ('cat <<E; [ "$1" = scan ] && a\n[ "$1" = status ]\nE\n', {"scan"}),
    ],
)
def test_a_script_with_some_verbs_has_those(script, verbs):
    assert verbs_handled(script) == verbs


SHELL_WORDS = (
    """case $1 in scan policy_eval status ) ( ;; esac | ' " \\ <<EOF <<-X EOF # $( ${ } ` [ ] = =~ (( ))"""
)
SHELL = st.lists(st.sampled_from([*SHELL_WORDS.split(), " ", "\n", " in "])).map("".join)


@given(st.one_of(st.text(), SHELL))
@example("#!python\n'''")
def test_any_text_is_read(script):
    assert verbs_handled(script) <= ALL


@given(st.sets(st.sampled_from(VERBS), min_size=1), st.text(string.printable))
def test_what_follows_a_dispatch_does_not_undo_it(verbs, rest):
    script = "case $1 in\n" + "".join(f"{verb}) run ;;\n" for verb in verbs) + "esac\n" + rest
    assert verbs_handled(script) >= (verbs if verbs != {"status"} else set())


PIECES = [
    "<<a\n",
    "case $1 in ",
    "case $",
    "'",
    '"',
    '"\\',
    "\\",
    "${",
    "$(",
    "$((",
    "((",
    "`",
    "x ",
    "a)\n",
    "#",
    "\0",
]
PIECES += ["$x", "scan|", ";;", "[ $1 = ", "=~ ", "=", "\n", " ", "\\\n", "?", "[", "f() ", "<<'", "<", "é"]


@pytest.mark.parametrize("head", ["", "#!/usr/bin/python3\n"], ids=["shell", "python"])
@pytest.mark.parametrize("piece", [*PIECES, "'scan' ", '"""', "'scan',", "in ['", "scan =>"], ids=repr)
def test_an_enormous_script_takes_no_time(head, piece):
    script = (head + piece * LIMIT)[:LIMIT]
    began = time.process_time()
    verbs_handled(script)
    assert time.process_time() - began < 1  # a square of the length would take minutes


def test_a_program_is_no_script():
    noise = random.Random(1).randbytes(LIMIT)  # noqa: S311  # any bytes will do
    assert verbs_handled("\x7fELF" + noise.decode("latin-1")) <= {"status"}
    assert verbs_handled("\x7fELF" + noise.decode("utf-8", "replace")) == set()


VALUES = """#!/bin/sh
for arg in "$@"; do
    key="${arg%%=*}"; value="${arg#*=}"
    case "$key" in
        LogModule) case "$value" in scan|policy_eval|status) ;; *) exit 1 ;; esac ;;
        *) echo "Error: Invalid key name in $arg"; exit 255 ;;
    esac
done
"""
REFUSED = """#!/bin/sh
for arg; do
    case "$arg" in
        scan|policy_eval|status) die "Error: Invalid key name in $arg" ;;
    esac
done
"""


@pytest.mark.parametrize(
    "script", [VALUES, REFUSED, '[ "$type" = scan ] && x; [ "$type" = policy_eval ] && y']
)
def test_a_value_or_a_word_that_is_refused_is_no_verb(script):
    assert verbs_handled(script) == frozenset()


@pytest.mark.parametrize(
    "script",
    [
        'V=$(echo "$1" | tr A-Z a-z)\nif [ "$V" = scan ]; then a; elif [ "$V" = "policy_eval" ]; then b; fi',
        'main() { local action=$1; case $action in scan) x;; policy_eval) y;; esac; }; main "$@"',
        'for a in "$@"; do case $a in scan) x;; policy_eval) y;; esac; done',
        "for a; do case $a in scan) x;; policy_eval) y;; esac; done",
    ],
)
def test_a_variable_that_holds_a_parameter_is_as_good_as_one(script):
    assert verbs_handled(script) == {"scan", "policy_eval"}


@pytest.mark.parametrize("language", ["python3.11", "perl", "ruby", "node", "php", "lua"])
def test_a_script_in_another_language_is_read_by_its_comparisons(language):
    assert verbs_handled(f"#!/usr/bin/env {language}\nif (command == 'scan') run()\n") == {"scan"}


@pytest.mark.parametrize(
    "comparison",
    [
        "command is 'scan'",
        "command in ('status', 'scan')",
        "case command when 'scan'",
        "'scan' eq command",
        "'scan' == command",
    ],
)
def test_other_languages_compare_in_several_ways(comparison):
    assert "scan" in verbs_handled(f"#!/usr/bin/ruby\n{comparison}\n")


@pytest.mark.parametrize("name", ["cmd", "command", "action", "verb", "my_verb"])
def test_a_function_may_be_called_by_the_name_in_a_variable(name):
    script = f'do_scan() {{ a; }}\n"do_${name}"\n'
    assert verbs_handled(script) == {"scan"}
    assert verbs_handled(script.replace(name, "rest")) == set()
