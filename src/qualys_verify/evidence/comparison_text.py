"""A comparison of two runs for the terminal and as a page."""

import json
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import groupby

import msgspec
from rich.console import Console, Group, RenderableType
from rich.text import Text

from qualys_verify.evidence.compare import Change, Comparison, Kind, of_note
from qualys_verify.evidence.plain import one_line
from qualys_verify.evidence.templating import environment

NAME = "comparison"
_STYLES = {
    Kind.REGRESSED: "bold red",
    Kind.STILL_FAILING: "red",
    Kind.NEWLY_INCONCLUSIVE: "bold yellow",
    Kind.REMOVED: "yellow",
    Kind.FIXED: "green",
    Kind.CONFIRMED: "green",
}
# So many are named of each kind on the terminal; the page and the JSON have them all.
_NAMED = 20


def as_text(comparison: Comparison, *, width: int, colour: bool) -> str:
    """What changed, kind by kind."""
    out = StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, no_color=not colour, highlight=False, emoji=False
    )
    console.print(Group(*_parts(comparison)))
    return out.getvalue()


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    yield Text(one_line(f"{comparison.old} before, {comparison.new} now: {counted(comparison)}"))
    for kind, group in groupby(of_note(comparison), key=lambda change: change.kind):
        changes = tuple(group)
        yield Text(f"\n{kind.value} ({len(changes)}): {kind.meaning}", style=_STYLES.get(kind, ""))
        yield from map(_line, changes[:_NAMED])
        if len(changes) > _NAMED:
            yield Text(f"  and {len(changes) - _NAMED} more")


def _line(change: Change) -> Text:
    was, now = (verdict or "not selected" for verdict in (change.before, change.after))
    verdicts = was if was == now else f"{was} -> {now}"
    host, title = one_line(change.host), one_line(change.title)  # perhaps a stranger's
    return Text(f"  {host}  step {one_line(change.step)} {title} ({verdicts})")


def counted(comparison: Comparison) -> str:
    """`2 fixed, 1 still failing`."""
    found = [f"{count} {kind}" for kind, count in comparison.counts.items() if count]
    return ", ".join(found) or "nothing to compare"


def as_json(comparison: Comparison) -> bytes:
    """All of it, in ASCII: a terminal would obey some of the characters beyond it."""
    return json.dumps(msgspec.to_builtins(comparison), indent=2).encode() + b"\n"


def as_page(comparison: Comparison) -> bytes:
    """A page that needs no script."""
    groups: Sequence[tuple[Kind, tuple[Change, ...]]] = [
        (kind, tuple(group)) for kind, group in groupby(of_note(comparison), key=lambda change: change.kind)
    ]
    page = (
        environment()
        .get_template("comparison.html")
        .render(comparison=comparison, groups=groups, counted=counted(comparison))
    )
    return page.encode()
