"""The evidence page in a real Chromium: scripts off, hostile names, the printed page, a large fleet."""

import re
import shutil
import struct
import zlib

import pytest

from qualys_verify.evidence.grid import findings_of, grid
from qualys_verify.evidence.result import transcripts_of
from tests.evidence import hostile, large, sample
from tests.evidence.markup import elements, matrix, shape
from tests.evidence.whole import render_page

LARGEST = 10_000_000  # bytes
SLOWEST = 3.0  # seconds
TRIES = 3


def small():
    return render_page(sample.result(), transcripts_of(sample.chain()))


@pytest.fixture
def written(tmp_path):
    """Writes a page to a file and returns its address."""

    def write(page):
        path = tmp_path / "report.html"
        path.write_text(page, encoding="utf-8")
        return path.as_uri()

    return write


def without_policy(page):
    """The page without its Content-Security-Policy: then only escaping stands between a name and a script."""
    assert page.count('http-equiv="Content-Security-Policy"') == 1
    return page.replace('http-equiv="Content-Security-Policy"', 'name="none"')


def test_scripts_are_really_off(browser, written):
    page = "<body><script>document.body.id = 'ran'</script><noscript><p>none</p></noscript>"
    assert 'id="ran"' in browser.dom(written(page))
    dom = browser.dom(written(page), scripts=False)
    assert 'id="ran"' not in dom
    assert "<p>none</p>" in dom


def test_everything_is_there_with_scripts_off(browser, written):
    dom = browser.dom(written(small()), scripts=False)
    assert shape(dom)[:20] == shape(small())[:20]
    assert " ".join(_words(dom)) == " ".join(_words(small()))


def _words(page):
    return "".join(item.text for item in elements(page) if item.tag != "style").split()


def test_the_matrix_in_the_browser_is_that_of_the_result(browser, written):
    result, transcripts = large.fleet(60)
    dom = browser.dom(written(render_page(result, transcripts)), scripts=False)
    content = dict(grid(findings_of(result)).rows)
    assert matrix(dom) == {
        number: [verdict and verdict.value for verdict in content[host.id]]
        for number, host in enumerate(result.hosts, 1)
    }


def test_the_matrix_leads_to_a_host_and_opens_its_fold(browser, written):
    address = written(small())
    assert '<details class="host" open' not in browser.dom(address)
    dom = browser.dom(f"{address}#h2")
    assert dom.count('<details class="host" open') == 1
    assert re.search(r'<details class="host" open="">.{0,700}?id="h2"', dom, re.DOTALL)


def test_a_request_of_a_page_is_seen(browser, site):
    """What the next test rests on: a name anywhere in the world is asked for here."""
    browser.dom(site.address("<img src=http://evil.example/pixel>"), site.everywhere)
    assert ("evil.example", "/pixel") in site.asked


@pytest.mark.parametrize("word", hostile.WORDS)
def test_a_hostile_name_adds_no_element_runs_nothing_and_asks_for_nothing(browser, site, word):
    page = without_policy(hostile.page_of(word))
    dom = browser.dom(site.address(page), site.everywhere)
    assert shape(dom) == _harmless(browser, site)
    assert {path for _, path in site.asked} == {"/page.html"}


def _harmless(browser, site):
    return shape(browser.dom(site.address(without_policy(hostile.page_of("harmless"))), site.everywhere))


def test_the_policy_stops_what_should_ever_get_through(browser, site):
    bad = "<script>document.body.id = 'ran'</script><img src=http://evil.example/pixel>"
    page = small().replace("<main>", f"<main>{bad}")
    assert 'id="ran"' in browser.dom(site.address(without_policy(page)), site.everywhere)
    assert ("evil.example", "/pixel") in site.asked
    site.asked.clear()
    assert 'id="ran"' not in browser.dom(site.address(page), site.everywhere)
    assert {path for _, path in site.asked} == {"/page.html"}


@pytest.mark.parametrize(("scheme", "paper"), [("1", (255, 255, 255)), ("0", (20, 23, 26))])
def test_a_picture_of_it_has_the_scheme_s_paper_and_the_verdicts_colours(browser, written, scheme, paper):
    flag = f"--blink-settings=preferredColorScheme={scheme}"
    picture = _pixels(browser.screenshot(written(small()), flag, size="600,500", scripts=False))
    assert picture[0] == paper
    colours = set(picture)
    assert len(colours) > 100
    red = (179, 32, 26) if scheme == "1" else (255, 149, 140)
    assert red in colours


@pytest.mark.parametrize("hosts", [3, 60])
def test_a_page_of_400_pixels_does_not_scroll_sideways(browser, site, hosts):
    site.pages["/frame.html"] = _with_open_folds(render_page(*large.fleet(hosts)))
    measure = "document.body.id = 'wide' + this.contentDocument.documentElement.scrollWidth"
    frame = f'<iframe src="/frame.html" style="width:400px; border:0" onload="{measure}"></iframe>'
    assert '<body id="wide400">' in browser.dom(site.address(frame))


def _with_open_folds(page):
    return page.replace('<details class="host">', '<details class="host" open>')


@pytest.fixture
def can_read_pdf():
    """Skips where nothing reads a PDF's text."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed (Debian's package `poppler-utils`)")


@pytest.mark.usefixtures("can_read_pdf")
def test_the_printed_page_has_what_is_folded(browser, written):
    text = " ".join(browser.pdf(written(small())).split())
    for part in (
        "Non-compliant",
        "host name web1.example",
        "sudo -n cloudagentctl.sh action=demand type=vm",
        "On-Demand-Request ControlId: 20260323120004.0",
        "LoadState=loaded",
        "assert 'failed (failed)'",
        "Do: start it.",
        "(./transcripts/ssh_web2-",
        "ssh-keygen -Y verify",
    ):
        assert part in text
    assert text.count("exit status 0") == 7
    assert "What this does not show" not in text  # the contents are for a screen


@pytest.mark.usefixtures("can_read_pdf")
def test_the_printed_page_cuts_no_row_and_loses_none(browser, written):
    result, transcripts = large.fleet(60)
    text = browser.pdf(written(render_page(result, transcripts)))
    for host in result.hosts:
        # In the matrix and as a heading of its own.
        assert re.sub(r"\s", "", text).count(host.id) >= 2
    assert text.count("\f") > 20
    # A command's number, its time and its exit status are one line, wherever a page ends.
    assert len(re.findall(r"took 0\.10 s; unit, attempt 1; exit status 0", text)) == 60 * 30


def test_a_thousand_hosts_stay_small_and_open_fast(browser, site):
    page = render_page(*large.fleet(1000))
    assert len(page.encode()) < LARGEST
    assert len(matrix(page)) == 1000
    site.pages["/report.html"] = page
    # The best of some tries: others use this machine, too.
    assert min(_opening_took(browser, site) for _ in range(TRIES)) < SLOWEST


def _opening_took(browser, site):
    """Seconds from asking for /report.html until it is loaded and laid out; painting it adds a frame or two."""
    measure = (
        "const height = this.contentDocument.documentElement.scrollHeight; "
        "document.body.id = `took${performance.now() - began} ${height}`"
    )
    frame = f"""<iframe style="width:1200px; height:1600px" onload="{measure}"></iframe>
        <script>began = performance.now(); document.querySelector("iframe").src = "/report.html"</script>"""
    took, height = re.search(r'id="took([\d.]+) (\d+)"', browser.dom(site.address(frame))).groups()
    assert int(height) > 1000 * 20  # each host has a line at least
    return float(took) / 1000


def _pixels(path):
    """The pixels of an 8-bit RGB or RGBA PNG, row by row, as triples."""
    data, place, packed = path.read_bytes(), 8, b""
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        packed += body if kind == b"IDAT" else b""
        place += 12 + length
    assert (depth, colour in {2, 6}) == (8, True)
    size = 4 if colour == 6 else 3
    raw, stride, before, pixels = zlib.decompress(packed), width * size, bytes(width * size), []
    for row in range(height):
        start = row * (stride + 1)
        before = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), before, size)
        pixels += [tuple(before[at : at + 3]) for at in range(0, stride, size)]
    return pixels


def _unfiltered(kind, line, above, size):
    """One row of a PNG without its filter."""
    for at in range(len(line)):
        left = line[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        up = above[at]
        guess = left + up - corner
        nearest = min((left, up, corner), key=lambda value: abs(guess - value))
        line[at] = (line[at] + (0, left, up, (left + up) // 2, nearest)[kind]) & 255
    return bytes(line)
