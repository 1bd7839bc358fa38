"""Which command-line dialect an agent speaks, found by reading its scripts (facts, section 1).

The vendor's `qualys-cloud-agent.sh` takes `Key=Value` only. Called with a verb it answers with an error
and, run as root, destroys pending settings on the way. So a verb is used only where the script's text
dispatches on it.
"""

from dataclasses import dataclass
from enum import StrEnum

from qualys_verify.agent.script import VERBS, verbs_handled

__all__ = ["VERBS", "CommandLine", "Dialect", "choose_dialect", "verbs_handled"]

# What the vendor's script answers to a verb, and a sign that this is it.
_KEYS_ONLY = "Invalid key name"


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


def choose_dialect(script: str | None, has_control: bool, forced: Dialect | None) -> CommandLine:  # noqa: FBT001  # a fact about the host, not a switch
    """The dialect to use.

    `script` is the text of `qualys-cloud-agent.sh` (None: there is none), `has_control` whether
    `cloudagentctl.sh` exists, `forced` the user's `--agent-cli` (None: auto). A script that hands its words on
    to another program shows no verbs and may still know them: there the user's word counts. Raises ValueError
    with one sentence when none can be used safely.
    """
    verbs = verbs_handled(script or "")
    speaks_runbook = {"scan", "policy_eval"} <= verbs
    if forced is Dialect.RUNBOOK and not speaks_runbook:
        if not script or _KEYS_ONLY in script:
            raise ValueError(
                "--agent-cli=runbook was asked for, but qualys-cloud-agent.sh is missing or the vendor's: its text does "
                "not handle `scan` and `policy_eval`, and calling it with a verb that it does not know destroys pending "
                "settings: use --agent-cli=auto or vendor",
            )
        return CommandLine(Dialect.RUNBOOK, frozenset(VERBS))
    if speaks_runbook and forced is not Dialect.VENDOR:
        return CommandLine(Dialect.RUNBOOK, verbs)
    if has_control:
        return CommandLine(Dialect.VENDOR, verbs)
    raise ValueError(
        "there is no way to ask this agent for a scan: qualys-cloud-agent.sh does not handle `scan` and "
        "`policy_eval`, and there is no cloudagentctl.sh beside it; if the agent lives elsewhere, name its folder "
        "with --agent-home",
    )
