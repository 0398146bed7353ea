"""The report of the benchmarks says what was measured, and nothing of the machine that is nobody's business."""

import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.figures import Section, Table, markdown, median_ratio, shown
from bench.load import request_bytes
from bench.peers.contestants import CONTESTANTS
from bench.peers.installing import CACHE, PeerFailed
from bench.peers.measure import written
from bench.plots import PLOTS, Bar, bars_of, svg
from tests.markdown import ROOT

REPORT = ROOT / "bench" / "results" / "report.md"
PEERS = ROOT / "bench" / "peers"


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


def test_a_plot_has_the_rows_that_it_names() -> None:
    """A plot draws the rows with its cells, and none where the table or its columns are not there."""
    plot = next(plot for plot in PLOTS if plot.file == "forward-auth.svg")
    columns = ("connections", "server", "a second")
    rows = [(64, "Keywright", 2.0), (64, "Node http", 1.0), (1, "Keywright", 9.0), (64, "away", None)]
    found = bars_of(plot, {"front": Section("", "", [Table("forward auth", columns, rows)])})
    assert found == [Bar("Keywright", 2.0, ours=True), Bar("Node http", 1.0, ours=False)]
    assert bars_of(plot, {}) == []
    assert bars_of(plot, {"front": Section("", "", [Table("forward auth", ("server",), [("Keywright",)])])}) == []


@pytest.mark.parametrize("logarithmic", [False, True])
def test_plots_are_well_formed(logarithmic: bool) -> None:
    """A label may hold anything, and every bar can be seen."""
    drawn = svg("<a> & b", "note", [Bar("<x>", 0.001, ours=True), Bar("y", 1000, ours=False)], logarithmic=logarithmic)
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
    told = {"method": "POST", "path": "/x", "headers": {"Content-Type": "application/json"}, "body": "{}"}
    assert written(told) == request_bytes("POST", "/x", None, b"{}")


def test_every_peer_is_there() -> None:
    """Every peer has its program, and no lock of the project knows it."""
    locks = "".join(path.read_text() for path in (ROOT / "requirements").glob("*.txt"))
    for contestant in CONTESTANTS:
        assert (PEERS / contestant.program).exists()
        name = contestant.requirements[0].rpartition("=")[0].rstrip("=").partition("[")[0]
        assert f"\n{name}==" not in locks


def test_the_report_that_is_kept() -> None:
    """The report that is in the repository names no folder and no home."""
    text = REPORT.read_text() + REPORT.with_suffix(".json").read_text()
    for private in ("/tmp/", "/root/", "/home/", "Traceback"):  # noqa: S108 - what must not be there
        assert private not in text
