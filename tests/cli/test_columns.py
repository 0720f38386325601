"""Tables on terminals of any width: no column is folded to where it cannot be read."""

from __future__ import annotations

import io
import itertools

import pytest
from rich.console import Console

from orchestrator.cli.columns import print_columns

HEADINGS = ("trial", "state", "settings", "progress", "note")
ROWS = [
    ("0123456789abcdef", "finished", "non_saturating d_steps=3 seed=1", "1200/1200 steps", "saturated by step 340"),
    ("fedcba9876543210", "failed", "saturating d_steps=1 seed=0", "40/1200 steps", "out of memory: " + "x" * 300),
]


def printed(width: int) -> list[str]:
    stream = io.StringIO()
    print_columns(Console(file=stream, width=width), HEADINGS, ROWS, whole=(0, 1))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
def test_no_line_is_wider_and_no_column_is_a_letter_wide(width: int) -> None:
    lines = printed(width)
    table = lines[: next((n for n, line in enumerate(lines) if line.startswith("no room for")), len(lines))]
    assert all(len(line) <= width for line in lines)
    assert any(line.startswith("0123456789abcdef") for line in table)
    starts = [table[0].index(heading) for heading in HEADINGS if heading in table[0]]
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(starts))


def test_what_has_no_room_is_named() -> None:
    assert printed(60)[-1] == "no room for: note; a wider terminal has them"
    assert "no room" not in "".join(printed(400))


def test_all_text_of_a_folded_cell_is_there() -> None:
    lines = printed(100)
    assert sum(line.count("x") for line in lines) == 300


@pytest.mark.parametrize("whole", [(), (0,)])
def test_no_text_is_cut_off(whole: tuple[int, ...]) -> None:
    stream = io.StringIO()
    print_columns(Console(file=stream, width=40), ("error", "step"), [("y" * 300, "7")], whole)
    assert stream.getvalue().count("y") == 300
