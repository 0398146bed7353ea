"""The report of the benchmarks says what was measured, and nothing of the machine that is nobody's business."""

import tempfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.figures import Section, Table, markdown, median_ratio, shown
from bench.peers.installing import CACHE, PeerFailed
from bench.plots import PLOTS, Bar, bars_of, svg
from bench.report import Report
from bench.rounds import Rounds
from bench.wrk import written
from tests.markdown import ROOT

REPORT = ROOT / "bench" / "results" / "report.md"


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (None, "–"),
        ("nginx", "nginx"),
        (64, "64"),
        (1234567.8, "1,234,568"),
        (12.345, "12.3"),
        (0.1234, "0.12"),
        (0, "0"),
    ],
)
def test_figures_are_rounded_for_readers(figure: str | float | None, text: str) -> None:
    """A figure has as many digits as it deserves."""
    assert shown(figure) == text


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """A round that was disturbed as a whole does not move a ratio."""
    assert median_ratio([10, 1, 20], [5, 0.5, 10]) == 2


def test_markdown() -> None:
    """A section is its title, what was done, and its tables."""
    section = Section("Title", "Done.", [Table("One", ("a", "b"), [("x", 1.5)])])
    assert markdown(section) == "## Title\n\nDone.\n\n**One**\n\n| a | b |\n| --- | --- |\n| x | 1.50 |\n"


def test_a_report_tells_what_went_wrong(tmp_path: Path) -> None:
    """Failed cases and repeated rounds stand in the report, and rows of one section in one table."""
    report = Report(tmp_path, {"machine": {"cores": "2"}})
    for case in ("one", "other"):
        report.add_rows("Over HTTP", "Done.", ("case",), [(case,)])
    report.add_repeated("one", Rounds(repeated=4, in_vain=1))
    report.fail("broken", RuntimeError(f"no {Path.home()}/file"))
    report.write()
    text = (tmp_path / "report.md").read_text()
    assert "| one |\n| other |" in text
    assert "one: 4 repeated, 1 still above it" in text
    assert "**broken failed:** RuntimeError: no …" in text


def test_a_plot_has_the_rows_that_it_names() -> None:
    """A plot draws the rows with its cells, and none where the section is not there."""
    plot = PLOTS[0]
    columns = ("case", "connections", "server", "a second")
    rows = [(plot.where["case"], 64, "Keywright", 2.0), (plot.where["case"], 64, "nginx", 1.0), ("x", 64, "nginx", 9.0)]
    sections = [Section(plot.section, "", [Table("By case", columns, rows)])]
    assert bars_of(plot, sections) == [Bar("Keywright", 2.0, ours=True), Bar("nginx", 1.0, ours=False)]
    assert bars_of(plot, []) == []


@pytest.mark.parametrize("logarithmic", [False, True])
def test_plots_are_well_formed(logarithmic: bool) -> None:
    """A label may hold anything, and every bar can be seen."""
    bars = [Bar("<x>", 0.001, ours=True), Bar("y", 1000, ours=False)]
    drawn = svg(replace(PLOTS[0], title="<a> & b", logarithmic=logarithmic), bars)
    shapes = ET.fromstring(drawn).iter()  # noqa: S314 - it was written above
    widths = [float(shape.get("width", "0")) for shape in shapes if shape.tag.endswith("rect")]
    assert len(widths) == 2
    assert 1 <= widths[0] < widths[1]


def test_what_a_peer_said_has_no_paths() -> None:
    """What goes into the report names no folder of this machine and no address of a registry."""
    places = (f"{CACHE}/peer/lib/x.py", f"{tempfile.gettempdir()}/y", f"{Path.home()}/z")
    said = f"npm error 404 GET https://registry.example/x\n{places[0]}: no\n{places[1]} {places[2]}"
    failed = str(PeerFailed("npm install", said))
    assert failed.startswith("npm install: ")
    assert "no" in failed
    for private in ("registry.example", str(CACHE), tempfile.gettempdir(), str(Path.home())):
        assert private not in failed


def test_a_peer_is_asked_what_it_told() -> None:
    """The request of a peer goes over the wire as it was written down."""
    told = {"method": "POST", "path": "/x", "headers": {"X-API-Key": "k"}, "body": "{}"}
    assert written(told) == b"POST /x HTTP/1.1\r\nHost: localhost\r\nX-API-Key: k\r\nContent-Length: 2\r\n\r\n{}"


def test_the_report_that_is_kept() -> None:
    """The report that is in the repository names no folder and no home."""
    text = REPORT.read_text() + REPORT.with_suffix(".json").read_text()
    for private in ("/tmp/", "/root/", "/home/", "Traceback"):  # noqa: S108 - what must not be there
        assert private not in text
