"""Which command-line dialect an agent speaks, found by reading its scripts (facts, section 1).

The vendor's `qualys-cloud-agent.sh` takes `Key=Value` only. Called with a verb it answers with an error
and, run as root, destroys pending settings on the way. So a verb is used only where the script's text
dispatches on it.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

VERBS = ("status", "scan", "policy_eval")

_HEREDOC = re.compile(r"<<-?[ \t]*(['\"]?)(\w+)\1[^\n]*\n.*?^\s*\2[ \t]*$", re.DOTALL | re.MULTILINE)
# A comment begins at a `#` that starts a word; inside quotes there may be one that does not.
_QUOTED_OR_COMMENT = re.compile(
    r"""(?P<quoted>'[^']*'|"(?:\\.|[^"\\])*")|(?P<comment>(?:^|(?<=[\s;&|(]))\#[^\n]*)""", re.MULTILINE
)
_WORD = re.compile(r"""['"]?[\w.*?|=$!{}\[\]:-]*['"]?\Z""")
_CASE = re.compile(r"\bcase\b(?P<subject>[^\n;]*?)\bin\b(?P<body>.*?)\besac\b", re.DOTALL)
_LABEL = re.compile(r"(?:^|;;|;&|\bin\b)\s*\(?\s*(?P<words>[^()\n;]+?)\s*\)", re.MULTILINE)
_COMPARED = re.compile(
    r"""(?P<left>[$\w{}:\[\]'".@-]+)\s*(?:=|==|-eq|is)\s*[xX]?['"]?(?P<word>[\w-]+)['"]?(?![\w=])"""
)
_PARAMETER = re.compile(
    r"""\$|\bsys\.argv\b|\bargs?\b|\baction\b|\bcommand\b|\bcmd\b|\bverb\b|\bARGV\b""", re.IGNORECASE
)


class Dialect(StrEnum):
    """How steps 3 to 5 are carried out."""

    RUNBOOK = "runbook"
    VENDOR = "vendor"


@dataclass(frozen=True)
class CommandLine:
    """How this agent is driven (runbook step 2.3 and steps 3 to 5).

    `verbs` are those of the runbook that `qualys-cloud-agent.sh` dispatches on.
    """

    dialect: Dialect
    verbs: frozenset[str]

    @property
    def can_ask_status(self) -> bool:
        """Whether `status` may be called at all: only where the script's text handles it."""
        return self.dialect is Dialect.RUNBOOK and "status" in self.verbs

    def __str__(self) -> str:
        """What the report shows as observed."""
        if self.dialect is Dialect.VENDOR:
            return "vendor dialect: cloudagentctl.sh takes the requests; `status` is no verb of qualys-cloud-agent.sh"
        return f"runbook dialect: qualys-cloud-agent.sh handles {', '.join(sorted(self.verbs))}"


def verbs_handled(script: str) -> frozenset[str]:
    """The runbook's verbs that a script's text dispatches on.

    A verb counts as the label of a `case` over a parameter or in a comparison with one; in comments,
    messages and here-documents it does not. `status` counts only beside another verb: helper functions of
    service scripts have a `status` of their own.
    """
    text = _without_prose(script)
    groups = [_labels(match["body"]) for match in _CASE.finditer(text) if "$" in match["subject"]]
    groups.append(_compared(text))
    handled = [frozenset(VERBS) & group for group in groups]
    return max((group for group in handled if group != {"status"}), key=len, default=frozenset())


def _without_prose(script: str) -> str:
    """The text without here-documents, comments and quoted strings of more than one word."""

    def keep(match: re.Match[str]) -> str:
        quoted = match["quoted"]
        return quoted if quoted is not None and _WORD.match(quoted) else '""' if quoted is not None else ""

    return _QUOTED_OR_COMMENT.sub(keep, _HEREDOC.sub("\n", script.replace("\r\n", "\n")))


def _labels(case_body: str) -> frozenset[str]:
    labels = (match["words"].split("|") for match in _LABEL.finditer(case_body))
    return frozenset(word.strip(" \t'\"") for words in labels for word in words)


def _compared(text: str) -> frozenset[str]:
    return frozenset(match["word"] for match in _COMPARED.finditer(text) if _PARAMETER.search(match["left"]))


def choose_dialect(script: str | None, has_control: bool, forced: Dialect | None) -> CommandLine:  # noqa: FBT001  # a fact about the host, not a switch
    """The dialect to use.

    `script` is the text of `qualys-cloud-agent.sh` (None: there is none), `has_control` whether
    `cloudagentctl.sh` exists, `forced` the user's `--agent-cli` (None: auto). Raises ValueError with one
    sentence when none can be used safely.
    """
    verbs = verbs_handled(script or "")
    speaks_runbook = {"scan", "policy_eval"} <= verbs
    if forced is Dialect.RUNBOOK and not speaks_runbook:
        raise ValueError(
            "--agent-cli=runbook was asked for, but the text of qualys-cloud-agent.sh does not handle `scan` and "
            "`policy_eval`, and calling it with a verb that it does not know destroys pending settings: use "
            "--agent-cli=auto or vendor",
        )
    if speaks_runbook and forced is not Dialect.VENDOR:
        return CommandLine(Dialect.RUNBOOK, verbs)
    if has_control:
        return CommandLine(Dialect.VENDOR, verbs)
    raise ValueError(
        "there is no way to ask this agent for a scan: qualys-cloud-agent.sh does not handle `scan` and "
        "`policy_eval`, and there is no cloudagentctl.sh beside it; if the agent lives elsewhere, name its folder "
        "with --agent-home",
    )
