"""docs/security/asvs.md answers every requirement of ASVS 5.0.0, levels 1 and 2, and names tests that there are."""

import csv
import re
from collections import Counter

from tests.markdown import ROOT, code, links, read, table
from tests.source import names_of_tests

PAGE = "docs/security/asvs.md"
STANDARD = ROOT / "tests" / "security" / "asvs_5_0_0.csv"
ANSWERS = ["yes", "partly", "no", "operator"]
RANGE = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:–(?:\1\.\2\.)?(\d+))?")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+(?:::\w+)?)")


def levels() -> dict[str, int]:
    """Read the level of every number."""
    lines = [line for line in STANDARD.read_text().splitlines() if not line.startswith("#")]
    return {row["number"]: int(row["level"]) for row in csv.DictReader(lines)}


def applying() -> list[list[str]]:
    """Give the rows of the requirements that apply: number, subject, answer, explanation, what holds it."""
    return table(read(PAGE), "no.", "about", "answer")


def numbers_in(cell: str) -> list[str]:
    """Give the numbers in a list of numbers and ranges; of a range, those of the levels 1 and 2."""
    found: list[str] = []
    for part in cell.split(", "):
        match = RANGE.fullmatch(part)
        assert match is not None, f"{part} is neither a number nor a range within a section"
        chapter, section, first, last = match.groups()
        numbers = [f"{chapter}.{section}.{number}" for number in range(int(first), int(last or first) + 1)]
        found += numbers if last is None else [number for number in numbers if levels()[number] < 3]
    return found


def test_the_standard_is_whole() -> None:
    """The data file has the 345 requirements of the release: 70 of level 1, 183 of level 2, 92 of level 3."""
    assert Counter(levels().values()) == {1: 70, 2: 183, 3: 92}


def test_every_requirement_is_answered_once() -> None:
    """Every number of the levels 1 and 2 is on the page once: in a row of its own, or as one that does not apply."""
    answered = [number for number, *_ in applying()]
    without = [
        number for numbers, _ in table(read(PAGE), "does not apply", "because") for number in numbers_in(numbers)
    ]
    assert Counter([*answered, *without]) == Counter(number for number, level in levels().items() if level < 3)


def test_every_named_test_exists() -> None:
    """Every test on the page exists, in the file and class that are named."""
    named = [match.groups() for piece in code(read(PAGE)) if (match := TEST.fullmatch(piece))]
    assert [f"{file}::{name}" for file, name in named if name not in names_of_tests(ROOT / file)] == []
    assert len([piece for piece in code(read(PAGE)) if piece.startswith("tests/") and "::" in piece]) == len(named)


def test_every_answer_is_held() -> None:
    """A `yes` names a test or a page that holds it; every other answer says what is missing, or whose it is."""
    rows = applying()
    assert {answer for _, _, answer, *_ in rows} <= set(ANSWERS)
    assert [number for number, _, answer, _, held in rows if answer == "yes" and not (code(held) or links(held))] == []
    assert [number for number, _, answer, how, _ in rows if answer != "yes" and not how] == []


def test_the_counts_are_those_of_the_table() -> None:
    """The summary counts what the table has."""
    counted = {answer: int(count) for answer, count, _ in table(read(PAGE), "answer", "count")}
    rows = Counter(answer for _, _, answer, *_ in applying())
    assert counted == {**rows, "does not apply": sum(level < 3 for level in levels().values()) - rows.total()}
