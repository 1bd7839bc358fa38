"""What the tests see of a page: its elements, and the cells of its matrix."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Element:
    """An element's name, its attributes, and the text up to the next one."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class _Reader(HTMLParser):
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self):
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag, attrs):
        self.elements.append(Element(tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements:
            self.elements[-1].text += data


def elements(page):
    """All elements in order."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.elements


def shape(page):
    """The page without its texts and values: which elements it has, with which attributes."""
    return [(item.tag, sorted(item.attributes)) for item in elements(page)]


def matrix(page):
    """The matrix as rows: the host's number, and of each cell the verdict, None where it has none."""
    found = elements(page[page.index('<section id="matrix"') : page.index('<section id="problems"')])
    rows = {}
    for item in found:
        if item.tag == "a":
            row = rows[int(item.attributes["href"].removeprefix("#h"))] = []
        elif item.tag == "td":
            row.append(item.attributes.get("data-verdict"))
    return rows
