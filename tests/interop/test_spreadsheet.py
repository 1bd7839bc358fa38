"""LibreOffice opens `results.csv`: no cell becomes a formula, and texts arrive as they are."""

import shutil
import subprocess

import pytest

from tests.evidence import odd, sample
from tests.evidence.whole import render_csv

# 88 MB to fetch and 272 MB on the disk: where it is installed it is used, and nobody has to install it for this.
pytestmark = pytest.mark.skipif(
    not shutil.which("soffice"), reason="LibreOffice (libreoffice-calc-nogui) is not installed"
)


# Comma, double quote, UTF-8, from the first row: what the dialog of a person who opens the file offers. Without it a
# conversion without a screen takes any file for Windows-1252.
UTF_8 = "--infilter=Text - txt - csv (StarCalc):44,34,76,1"


def opened(data, tmp_path):
    """What LibreOffice makes of a file, as XML."""
    (tmp_path / "results.csv").write_bytes(data)
    subprocess.run(
        [
            "soffice",
            "--headless",
            UTF_8,
            f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}",
            *("--convert-to", "fods", "--outdir", tmp_path, tmp_path / "results.csv"),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return (tmp_path / "results.fods").read_text("utf-8")


@pytest.mark.parametrize(
    "text", ["=1+1", "=cmd|' /C calc'!A0", '  "=HYPERLINK(1)', "+1+1", "@SUM(1)", "\uff1d1+1"]
)
def test_no_cell_becomes_a_formula(text, tmp_path):
    found = opened(render_csv(odd.hostile(text)), tmp_path)
    assert "table:formula" not in found
    assert "non-compliant" in found


def test_a_formula_would_be_seen(tmp_path):
    assert "table:formula" in opened(b"=1+1\r\n", tmp_path)


def test_the_table_arrives(tmp_path):
    found = opened(render_csv(sample.result()), tmp_path)
    assert "<text:p>run</text:p>" in found, "the byte order mark is no part of a name"
    for text in ("ssh://ops@web1", "failed (failed)", "A. Auditor"):
        assert f"<text:p>{text}</text:p>" in found
    assert "é漢" in opened(render_csv(odd.hostile("é漢")), tmp_path)
