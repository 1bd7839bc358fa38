"""Why there is no verdict: the exceptions that an observation may end with.

A test's failed `assert` is the only way to be *non-compliant*. Everything else that keeps a sentence of the
runbook from being judged is one of these, and each carries one sentence: what happened and what to do.
"""


class NotApplicable(Exception):  # noqa: N818  # the name of the verdict; nothing went wrong
    """The sentence does not apply to this host (no agent, read-only run); pytest reports it as skipped."""


class Inconclusive(Exception):  # noqa: N818  # the name of the verdict
    """It could not be seen whether the sentence holds; pytest reports it as an error, never as a pass."""


class Unreachable(Inconclusive):
    """No command of ours ran on the target: no route, refused, unknown or changed host key, no login.

    `said` is what the client program printed, for the evidence.
    """

    def __init__(self, sentence: str, said: str = "") -> None:
        """The sentence is the reason as a reader gets it."""
        super().__init__(sentence)
        self.said = said


class Gone(Unreachable):
    """What was looked at is not there any more: its container was restarted, its pod deleted or moved.

    No later look at this target can say anything about what was asked of it before.
    """


class Denied(Inconclusive):
    """The target is reachable, but the login may not look (no sudo, a password asked for, no permission)."""


class TimedOut(Inconclusive):
    """A command did not end within its deadline (`--command-timeout`, seconds)."""


class Interrupted(Inconclusive):
    """The run was stopped before this was seen."""


def may_pass(reason: BaseException) -> bool:
    """Whether another look may succeed: a connection that is lost may come back, a permission or a pod does not."""
    return isinstance(reason, Inconclusive) and not isinstance(reason, Interrupted | Denied | Gone)
