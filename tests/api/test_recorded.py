"""Several hundred requests get the answers that were recorded, and leave the same to be logged."""

from pathlib import Path

import pytest

from tests.api import recording
from tests.api.recording import SCRIPTS, TOKENS, Script


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
async def test_answers_are_those_that_were_recorded(script: Script, tmp_path: Path) -> None:
    """Every request gets the answer that was recorded, and leaves the same to be logged."""
    for answer, expected in zip(await recording.run(script, tmp_path), recording.recorded(script), strict=True):
        assert answer == expected


def test_what_was_recorded_has_every_outcome() -> None:
    """The recorded answers are of every kind, none of them a failure that nobody thought of but the one asked for."""
    statuses = {answer["status"] for answer in recording.recorded(recording.requests)}
    assert statuses >= {200, 201, 204, 400, 403, 404, 405, 409, 412, 422}
    assert 500 not in statuses
    bodies = {answer["status"] for answer in recording.recorded(recording.bodies)}
    assert bodies == {200, 201, 400, 413, 415, 422}


def test_pieces_make_no_difference_to_what_was_recorded() -> None:
    """A body in many pieces got the answer that it got in one, unless it was a creation, whose id and pair are new."""
    answers = recording.recorded(recording.bodies)
    for whole, in_pieces in zip(answers[::2], answers[1::2], strict=True):
        assert whole["status"] == in_pieces["status"]
        if whole["status"] >= 300:
            assert whole == in_pieces


def test_tokens_came_first_in_what_was_recorded() -> None:
    """A token that is turned down decided the status, whatever else was wrong with the request."""
    for answer in recording.recorded(recording.tokens):
        assert answer["status"] == TOKENS[answer["token"]]
