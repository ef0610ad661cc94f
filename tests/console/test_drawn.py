"""Whatever a text holds, what is drawn stands in its cells and does nothing else."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.widgets import Label

from engine.model.printable import is_printable
from engine.model.views.snapshot import EventView
from pmpro_tui.console.draw.columns import fitted
from pmpro_tui.console.draw.dialogs import Confirm
from pmpro_tui.console.draw.lines import Lines
from pmpro_tui.console.draw.text import Line, Span, fit, line, line_text, line_width, shown_lines
from pmpro_tui.console.draw.zone import Zone
from pmpro_tui.console.screens import event_rows
from tests.console.scripted import START_NS

BAD = "x\x1b]0;OWNED\x07\x1b[2J\x9b31m\x00\n\r\t\u202e\u200b\ud83d"


@given(
    st.text(st.sampled_from("ab \x1b\x9b\x00\n\u202e\ud83d漢é"), max_size=60), st.integers(1, 50)
)
def test_a_cell_has_its_width_and_does_nothing(text: str, width: int) -> None:
    """A column to the right of a control character is where it was."""
    cell = fit(text, width)
    assert cell_len(cell) == width
    assert is_printable(cell)
    assert is_printable(line_text(line(text, Span(text, "bad"))))


def test_an_event_s_row_has_its_width() -> None:
    """In every column that holds a text of others."""
    event = EventView(seq=1, time_ns=START_NS, level=BAD, source=BAD, text=BAD)
    shape = fitted(event_rows.columns(Zone()), 120, [event])
    row = shape.row(event, marked=False, active=False)
    assert line_width(row) <= 120
    assert is_printable(line_text(row))
    assert "OWNED" in line_text(row)


async def _drawn(widget_text: str) -> str:
    class Screen(App[None]):
        def compose(self) -> ComposeResult:
            yield Lines(id="lines")

    async with Screen().run_test(size=(80, 5)) as pilot:
        lines = pilot.app.query_one(Lines)
        lines.show([Line((Span(widget_text),))])
        await pilot.pause()
        return lines.render_line(0).text


def test_the_last_border_is_the_widget() -> None:
    """A line that was made past every other border is clean all the same."""
    text = asyncio.run(_drawn(BAD))
    assert is_printable(text)
    assert "OWNED" in text


async def _asked(heading: str, body: str) -> list[str]:
    async with App[None]().run_test() as pilot:
        await pilot.app.push_screen(Confirm(heading, body, "kill"))
        return [str(label.render()) for label in pilot.app.screen.query(Label)]


def test_questions_and_notices_keep_their_lines_alone() -> None:
    """A dialog's heading and body, a toast's text: lines stay lines, the rest is written out."""
    assert shown_lines("one\ntwo\x1b[2J") == "one\ntwo\\x1b[2J"
    texts = asyncio.run(_asked(f"Kill {BAD}?", "one\ntwo\x1b[2J"))
    assert not any("\x1b" in text or "\x07" in text for text in texts)
    assert "one\ntwo\\x1b[2J" in texts
