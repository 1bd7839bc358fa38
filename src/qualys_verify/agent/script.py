"""Which of the runbook's verbs a script dispatches on, found by reading its text; nothing here is ever run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache

VERBS = ("status", "scan", "policy_eval")

_OTHER_LANGUAGE = re.compile(r"#!.*\b(?:python|perl|ruby|node|php|lua)", re.IGNORECASE)


@lru_cache(16)  # a fleet has few versions of it
def verbs_handled(script: str) -> frozenset[str]:
    """The runbook's verbs that a script's text dispatches on.

    A verb counts as the label of a `case` over a parameter, in a comparison with one, or as a function that
    a parameter is called by; in comments, messages and here-documents it does not. `status` counts only
    beside another verb: helper functions of service scripts have a `status` of their own.
    """
    text = script.replace("\r\n", "\n")
    groups = _literals(text) if _OTHER_LANGUAGE.match(text) else _Shell().groups(text)
    return frozenset[str]().union(*(group for group in groups if group != {"status"}))


# --- shell -----------------------------------------------------------------------------------------------

# The shell's words and operators. Every alternative is possessive or bounded, and a quote that is not closed
# runs to the end, as in the shell: a script is read once, whatever is in it.
_TOKEN = re.compile(
    r"""
    (?P<blank>[^\S\n]++ | \\\n)
    | (?P<comment>\#[^\n]*+)
    | (?P<arithmetic>\(\([^\n]{0,99}?\)\))
    | <<(?!<)(?P<dash>-?)[ \t]*+(?P<until>'[^'\n]{1,99}' | "[^"\n]{1,99}" | \\?[\w!.+-]{1,99})
    | (?P<operator>;;&|;;|;&|;|&&|\|\||\||&|\(|\)|\n|<<<|[<>]++&?)
    | (?P<word>(?:
          \\. | '[^']*+(?:'|\Z) | "(?:\\.|[^"\\])*+(?:"|\Z)
        | \$\(\([^\n]{0,99}?\)\) | \$\([^()\n]{0,200}\) | \$\{[^}\n]{0,200}\} | `[^`\n]{0,200}`
        | [^\s;&|()<>'"\\]
      )++)
    | (?P<rest>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTES = re.compile(r"""\\(.)|['"]""", re.DOTALL)
# A command whose name is a parameter: "$@", "do_$1", "$cmd".
_DYNAMIC = re.compile(
    r'"?(?P<prefix>[\w.-]{0,99})\$\{?(?:[1@*]|\w{0,99}(?:cmd|command|action|verb)\w{0,99})\}?"?',
    re.IGNORECASE,
)
_OPENERS = frozenset({"then", "do", "else", "elif", "if", "while", "until", "{", "!", "time", "exec"})
_POSITIONAL = re.compile(r"\$\{?[1@*](?!\d)")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w{0,99})")
_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_]\w{0,99})=(?P<value>.*)", re.DOTALL)
# Taking `Key=Value` apart.
_SPLIT = re.compile(r"(?:%{1,2}|#{1,2}\*?)\\?=|-d\s?['\"]?=|IFS=['\"]?=|-F\s?['\"]?=")
_EQUALS = frozenset({"=", "=="})
_LONGEST_LABEL = 99


@dataclass
class _Case:
    """A `case` that is not closed yet. `labels` are those of the branch that is being read."""

    subject: str = ""
    awaits: str = "in"
    labels: set[str] = field(default_factory=set)
    handled: set[str] = field(default_factory=set)

    def end_branch(self) -> None:
        self.handled |= {verb for verb in VERBS for label in self.labels if _stands_for(label, verb)}
        self.labels = set()


class _Shell:
    """One reading of a shell script, token by token."""

    def __init__(self) -> None:
        self._cases: list[_Case] = []
        self._closed: list[_Case] = []
        self._compared: set[str] = set()
        self._functions: set[str] = set()
        self._called: set[str] = set()
        self._recent = ("", "", "")
        self._parameters: set[str] = set()
        self._at_command = True
        self._in_regex = False

    def groups(self, text: str) -> Iterator[set[str]]:
        """The verbs handled together: in one `case`, or in all comparisons and functions of the script."""
        for piece in _tokens(text):
            self._read(piece)
            self._recent = (*self._recent[1:], piece)
        for case in (*self._closed, *self._cases):
            case.end_branch()
            if self._is_parameter(case.subject):
                yield case.handled
        yield self._compared | {
            verb for verb in VERBS for prefix in self._called if prefix + verb in self._functions
        }

    def _read(self, piece: str) -> None:
        case = self._cases[-1] if self._cases else None
        if case and case.awaits == "in":
            self._read_subject(case, piece)
        elif case and case.awaits == ")":
            self._read_label(case, piece)
        elif case and piece in {";;", ";&", ";;&"}:
            case.end_branch()
            case.awaits = ")"
        elif self._at_command and piece == "case":
            self._cases.append(_Case())
        elif self._at_command and piece == "esac":
            self._close()
        else:
            if case and "nvalid key" in piece:
                case.labels.clear()  # the branch refuses the word, as the vendor's script does
            self._read_command(piece)

    def _is_parameter(self, text: str) -> bool:
        """Whether a text is one of the script's own parameters, or a variable that was made from one.

        The value in `Key=Value` is none: what it is compared with are values, not verbs.
        """
        if _SPLIT.search(text):
            return False
        return bool(_POSITIONAL.search(text)) or any(
            name in self._parameters for name in _VARIABLE.findall(text)
        )

    def _note_parameters(self, piece: str) -> None:
        """Remember the variables that hold a parameter: `cmd=$1`, `for arg in "$@"`, `for arg; do`."""
        assignment = _ASSIGNMENT.match(piece)
        if assignment and self._is_parameter(assignment["value"]):
            self._parameters.add(assignment["name"])
        loop, name, joint = self._recent
        if loop == "for" and joint == "in" and self._is_parameter(piece):
            self._parameters.add(name)
        if name == "for" and piece in {";", "\n", "do"}:
            self._parameters.add(joint)

    def _read_subject(self, case: _Case, piece: str) -> None:
        if piece == "in":
            case.awaits = ")"
        else:
            case.subject += piece

    def _read_label(self, case: _Case, piece: str) -> None:
        if piece == "esac":
            self._close()
        elif piece == ")":
            case.awaits = ""
            self._at_command = True
        elif piece not in {"(", "|", "\n"}:
            case.labels.add(_unquoted(piece))

    def _close(self) -> None:
        if self._cases:
            self._closed.append(self._cases.pop())
        self._at_command = False

    def _read_command(self, piece: str) -> None:
        self._note_parameters(piece)
        left, previous = self._recent[1:]
        if previous in _EQUALS and (self._is_parameter(left) != self._is_parameter(piece)):
            self._compared |= _words_in(left if self._is_parameter(piece) else piece)
        if self._in_regex:
            self._compared |= _words_in(piece)
        self._in_regex = (
            self._in_regex or (piece == "=~" and self._is_parameter(previous))
        ) and piece not in {"]]", "\n"}
        if previous == "function":
            self._functions.add(piece)
        if piece == ")" and previous == "(":
            self._functions.add(left)
        dynamic = _DYNAMIC.fullmatch(piece) if self._at_command else None
        if dynamic:
            self._called.add(dynamic["prefix"])
        self._at_command = piece in _OPENERS or not _is_word(piece)


def _tokens(text: str) -> Iterator[str]:
    """The script's words and operators, without comments and here-documents."""
    position, pending = 0, list[tuple[str, str]]()
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None  # noqa: S101  # the last alternative takes any character
        position = match.end()
        if match["until"]:
            pending.append((match["dash"], _unquoted(match["until"])))
        elif match["operator"] or match["word"] or match["arithmetic"]:
            yield match[0]
        if match[0] == "\n":
            for dash, until in pending:
                position = _after_heredoc(text, position, dash, until)
            pending = []


def _after_heredoc(text: str, position: int, dash: str, until: str) -> int:
    """Where the script goes on after a here-document; one that is not closed runs to the end."""
    indent = r"\t*" if dash else ""
    match = re.compile(rf"^{indent}{re.escape(until)}$", re.MULTILINE).search(text, position)
    return match.end() if match else len(text)


def _is_word(piece: str) -> bool:
    return not re.fullmatch(r"[;&|()<>\n]+", piece)


def _unquoted(word: str) -> str:
    return _QUOTES.sub(lambda match: match[1] or "", word)


def _stands_for(label: str, verb: str) -> bool:
    """Whether a label of a `case` is there for this verb: not `*`, which is there for anything."""
    specific = "*" not in label and any(map(str.isalpha, label)) and len(label) <= _LONGEST_LABEL
    return specific and fnmatchcase(verb, label)


def _words_in(text: str) -> set[str]:
    """The verbs in one side of a comparison: `scan`, `xscan` (as in "x$1"), or a regular expression."""
    words = set(re.split(r"[|()^$*]+", _unquoted(text)))
    return {verb for verb in VERBS if words & {verb, f"x{verb}", f"X{verb}"}}


# --- other languages -------------------------------------------------------------------------------------

_PROSE = re.compile(
    r"""(?P<quotes>\"{3}|'{3}).*?(?:(?P=quotes)|\Z)|(?:^|(?<=\s))\#[^\n]*""", re.DOTALL | re.MULTILINE
)
_LITERAL = re.compile(rf"""(?P<quote>['"]|\b)(?P<verb>{"|".join(VERBS)})(?P=quote)(?P<arrow>\s{{0,9}}=>)?""")
_BEFORE = re.compile(
    r"""(?:==|\beq|\bis|\bwhen|\badd_parser\(|(?:\bin|\bcase|\bchoices\s?=)\s?[\[({]?\s*+(?:['"]\w*+['"]\s*+[,|]\s*+)*+)\s?$"""
)
_AFTER = re.compile(r"\s{0,9}(?:==|eq\b|:)")
_NEAR = 200


def _literals(text: str) -> Iterator[set[str]]:
    """The verbs that stand as a word of their own in a comparison, a choice or the keys of a table."""
    code = _PROSE.sub('""', text)
    yield {match["verb"] for match in _LITERAL.finditer(code) if _dispatches(match, code)}


def _dispatches(match: re.Match[str], code: str) -> bool:
    if match["arrow"]:
        return True
    before = code[max(0, match.start() - _NEAR) : match.start()]
    leads = _BEFORE.search(before) or _AFTER.match(code, match.end())
    return bool(match["quote"]) and leads is not None
