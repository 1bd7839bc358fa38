"""How the pages are made: Jinja templates that escape what they are given and show what nobody could see."""

import re

import jinja2
from markupsafe import Markup

# What a reader does not see or what disguises its neighbours: control and format characters (marks that turn the
# direction of writing, joiners, tags), line separators, fillers, halves of surrogate pairs. Written as a list and not
# asked of `unicodedata`, whose answer depends on the version of Python.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def visible(value: object) -> object:
    """A text with what a reader cannot see of it written out as escapes; anything else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    if value.isascii() and value.isprintable():
        return value
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), value)


def environment() -> jinja2.Environment:
    """The templates of this package; the caller may add filters of its own."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("qualys_verify.evidence"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
