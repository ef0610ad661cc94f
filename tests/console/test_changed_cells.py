"""Only cells that changed go over the line."""

from hypothesis import given
from hypothesis import strategies as st

from pmpro_tui.console.draw.text import Line, Span, changed

_WIDTH = 30
_spans = st.builds(Span, st.text("ab 1−", max_size=8), st.sampled_from(["", "good", "bad"]))
_lines = st.builds(Line, st.lists(_spans, max_size=5).map(tuple), st.sampled_from(["", "marked"]))


def _cells(line: Line) -> list[tuple[str, str]]:
    cells = [(character, span.tone) for span in line.spans for character in span.text]
    return (cells + [(" ", "")] * _WIDTH)[:_WIDTH]


@given(_lines, _lines)
def test_the_run_holds_every_difference_and_begins_and_ends_with_one(
    before: Line, after: Line
) -> None:
    """Outside of the run two lines are the same; its first and last cell differ."""
    start, stop = changed(before, after, _WIDTH)
    if before.tone != after.tone:
        assert (start, stop) == (0, _WIDTH)
        return
    one, other = _cells(before), _cells(after)
    assert all(one[i] == other[i] for i in range(_WIDTH) if not start <= i < stop)
    if start < stop:
        assert one[start] != other[start]
        assert one[stop - 1] != other[stop - 1]


def test_a_character_of_two_cells_has_the_whole_line_drawn() -> None:
    """Where characters and cells are not one to one no run could be told."""
    assert changed(Line((Span("ab"),)), Line((Span("日本"),)), _WIDTH) == (0, _WIDTH)
