"""A real Chromium, and a server on loopback that every name in the world leads to."""

import json
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_TIMEOUT = 120
# No window, no sandbox (it refuses root), and nothing of the browser's own on the network.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=NetworkTimeServiceQuerying",
    "--hide-scrollbars",
    # No name leads anywhere; `Site.everywhere` comes later on the command line, and counts.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_NO_SCRIPTS = {"profile": {"default_content_setting_values": {"javascript": 2}}}


@dataclass(frozen=True)
class Browser:
    """Chromium, started anew for each look, with an empty profile."""

    program: str
    folder: Path

    def dom(self, address, *flags, scripts=True):
        """The document as the browser has it once it is loaded."""
        return self._run(address, "--dump-dom", *flags, scripts=scripts).stdout

    def screenshot(self, address, *flags, size="1200,1600", scripts=True):
        """The path of a PNG of the page's top."""
        path = self.folder / "page.png"
        self._run(address, f"--screenshot={path}", f"--window-size={size}", *flags, scripts=scripts)
        return path

    def pdf(self, address):
        """The text of the printed page; pages are set apart by form feeds."""
        path = self.folder / "page.pdf"
        self._run(address, f"--print-to-pdf={path}", "--no-pdf-header-footer", scripts=False)
        command = ["pdftotext", "-layout", path, "-"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT).stdout

    def _run(self, address, *flags, scripts):
        profile = self.folder / f"profile{len(list(self.folder.iterdir()))}"
        (profile / "Default").mkdir(parents=True)
        if not scripts:
            # `--blink-settings=scriptEnabled=false` would also stop the page of its own by which Chromium takes pictures.
            (profile / "Default" / "Preferences").write_text(json.dumps(_NO_SCRIPTS))
        command = [self.program, *_FLAGS, f"--user-data-dir={profile}", *flags, address]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT)


@pytest.fixture
def browser(tmp_path):
    """Chromium; skips where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian's package `chromium`)")
    folder = tmp_path / "browser"
    folder.mkdir()
    return Browser(program, folder)


@dataclass
class Site:
    """Pages served on loopback, and what was asked for: pairs of a host and a path."""

    port: int = 0
    pages: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def address(self, page):
        """Where a page is."""
        self.pages["/page.html"] = page
        return f"http://127.0.0.1:{self.port}/page.html"

    @property
    def everywhere(self):
        """The flag with which each name and each port in the world leads here."""
        return f"--host-resolver-rules=MAP * 127.0.0.1:{self.port}"


@pytest.fixture
def site():
    """A site on loopback."""
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            made.asked.append((self.headers.get("Host", ""), self.path))
            body = made.pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()
