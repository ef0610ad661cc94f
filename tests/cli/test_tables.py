"""Tables of commands: whole on a pipe, fitted on a terminal, text and never markup."""

import io
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.model.printable import printable
from pmpro_tui.cli.tables import print_table
from tests.cli.conftest import REPO

NAME = "a-very-long-strategy-name-that-says-what-it-does-eurusd"
REASON = "[risk] refused: GROSS_EXPOSURE 31.2 of 30 × equity; the next decision is at the bar's end"
COLUMNS = ("strategy", "kind", "state", "P&L today", "reason")
ROWS = [
    (NAME, "ma_cross", "ON", "+1,234.50", REASON),
    ("b", "[bold]rsi[/bold]", "OFF", "–", "two\nlines\tof it"),
]
LEAST = ("kind", "P&L today")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> str:
    """Return the table as a terminal of that width is given it, without colour."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    print_table("Title [risk]", COLUMNS, ROWS, least=LEAST)
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())


def words_of_last_column(text: str) -> str:
    """Return what stands in the last column, its wrapped lines joined."""
    rows = [line.split("│")[-2] for line in text.splitlines() if line.startswith("│")]
    return " ".join(" ".join(rows).split())


@pytest.mark.parametrize("on_pipe", [True, False])
def test_a_cell_does_nothing_to_a_terminal(on_pipe, capsys, monkeypatch):
    """Control characters of others are written out, in titles too, and columns stand."""
    bad = "x\x1b]0;OWNED\x07\x9b31m\x00\u202e\u200b"
    rows = [(bad, "k", bad), ("b", "k", "r")]
    if on_pipe:
        print_table(f"T {bad}", ("a", "b", "c"), rows)
        out = capsys.readouterr().out
        assert len({line.index(" k ") for line in out.splitlines()[2:]}) == 1
    else:
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("TERM", "dumb")
        print_table(f"T {bad}", ("a", "b", "c"), rows)
        out = stream.getvalue()
    assert "OWNED" in out
    assert not set(out) & set("\x1b\x07\x9b\x00\u202e\u200b")


def test_on_a_pipe_a_record_is_a_line(capsys, monkeypatch):
    """Full names, one line a record, columns by content, whatever width anybody claims."""
    monkeypatch.setenv("COLUMNS", "40")
    print_table("Title [risk]", COLUMNS, ROWS, least=LEAST)
    title, head, first, second = capsys.readouterr().out.splitlines()
    assert title == "Title [risk]"
    assert head.split() == ["strategy", "kind", "state", "P&L", "today", "reason"]
    assert first.startswith(f"{NAME}  ma_cross          ON     +1,234.50  ")
    assert first.endswith(REASON)
    assert second.split("  ")[0] == "b"
    assert "[bold]rsi[/bold]" in second
    assert second.endswith("–  two lines of it")


@pytest.mark.parametrize("columns", [60, 80, 140, 200])
def test_on_a_terminal_the_least_goes_first_and_the_reason_stays(monkeypatch, columns):
    """No line is wider than the terminal; what does not fit is named; the reason is all there."""
    text = on_terminal(monkeypatch, columns)
    assert all(cell_len(line) <= columns for line in text.splitlines())
    assert words_of_last_column(text) == f"{REASON} two lines of it"
    assert "Title [risk]" in text
    gone = [name for name in LEAST if f"[{name}]" not in text and name not in text.split("\n┡")[0]]
    assert gone == list(LEAST[: len(gone)])
    said = f"not shown on so narrow a terminal: {', '.join(gone)}"
    assert (said in text) == bool(gone)
    assert bool(gone) == (columns < 140)
    joined = "".join(line.split("│")[1].strip() for line in text.splitlines() if "│" in line)
    assert NAME in joined
    if columns >= 140:
        assert "[bold]rsi[/bold]" in text


def test_figures_stand_at_the_right(capsys):
    """A column of figures lines up by its last digits; names and mixed columns do not."""
    print_table("", ("name", "lots", "what"), [("a", "1.00", "12"), ("bb", "-1,210.50", "x")])
    assert capsys.readouterr().out.splitlines() == [
        "name       lots  what",
        "a          1.00  12",
        "bb    -1,210.50  x",
    ]


@given(st.lists(st.tuples(st.text(), st.text(), st.integers()), min_size=1, max_size=5))
def test_any_text_is_one_line_of_its_own(rows):
    """Line breaks, brackets, wide and empty cells: as many lines as records, every word there."""
    stream, real = io.StringIO(), sys.stdout
    sys.stdout = stream
    try:
        print_table("", ("one", "two", "three"), rows)
    finally:
        sys.stdout = real
    _, *lines = stream.getvalue().split("\n")[:-1]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert line.split() == [printable(word) for cell in row for word in str(cell).split()]


def test_every_table_of_a_command_is_one_of_these():
    """No command draws a table of its own, which a pipe would cut at eighty columns."""
    drawn = [
        path.name
        for path in Path(REPO / "pmpro_tui" / "cli").glob("*.py")
        if path.name != "tables.py" and "rich.table" in path.read_text(encoding="utf-8")
    ]
    assert drawn == []
