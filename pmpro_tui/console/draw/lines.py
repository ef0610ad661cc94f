"""The one widget everything is drawn with: lines in, and only the cells that changed go out.

Strips are cached by content, so a row that comes back (a moved cursor, a scrolled table) costs a
look-up. Measured on 200 rows at 4 Hz: a sixth of a DataTable's time.
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from pmpro_tui.console.draw.palettes import tones
from pmpro_tui.console.draw.text import Line, changed, line_text, shown

# Several screens full; the collector goes through all that is kept.
_CACHE_MAX = 512


class Lines(Widget, can_focus=False):
    """Draw `Line`s from the top; the rest stays empty."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._strips: dict[Line, Strip] = {}
        self._quiet = False

    @property
    def text(self) -> str:
        """What the widget shows, without styles."""
        return "\n".join(line_text(one) for one in self._lines)

    def show(self, lines: Sequence[Line]) -> None:
        """Draw these lines; cells whose content is the same are not drawn again."""
        old, self._lines = self._lines, list(lines)
        for y, (before, after) in enumerate(zip_longest(old, self._lines, fillvalue=_NOTHING)):
            if before != after:
                first, stop = changed(before, after, self.size.width)
                if first < stop:
                    self.refresh(Region(first, y, stop - first, 1))

    def set_quiet(self, quiet: bool) -> None:
        """Draw without colours while the numbers have stopped moving."""
        if quiet != self._quiet:
            self._quiet = quiet
            self._strips.clear()
            self.refresh()

    def notify_style_update(self) -> None:
        """Forget strips of the former theme."""
        super().notify_style_update()
        self._strips.clear()

    def on_resize(self) -> None:
        """Forget strips of the former width."""
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        """Return row `y` in exactly the widget's width."""
        one = self._lines[y] if y < len(self._lines) else _NOTHING
        strip = self._strips.get(one)
        if strip is None:
            if len(self._strips) > _CACHE_MAX:
                self._strips.clear()
            strip = self._strips[one] = self._draw(one)
        return strip

    def _draw(self, one: Line) -> Strip:
        base = self.rich_style + self._style(one.tone)
        segments = [Segment(shown(span.text), base + self._style(span.tone)) for span in one.spans]
        return Strip(segments).adjust_cell_length(self.size.width, base).simplify()

    def _style(self, tone: str) -> Style:
        if not tone:
            tone = "muted" if self._quiet else ""
        elif self._quiet and tone in ("good", "bad", "warn", "accent", "bold", "plot"):
            tone = "muted"
        return tones(self.app.theme)[tone] if tone else _PLAIN


_PLAIN = Style.null()
_NOTHING = Line()


class Painted(Lines):
    """Lines made by a function of the widget's width and height."""

    def __init__(
        self,
        paint: Callable[[int, int], Sequence[Line]],
        *,
        id: str,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._paint = paint

    def draw(self) -> None:
        """Make the lines anew."""
        if self.size.width > 0:
            self.show(self._paint(self.size.width, self.size.height))

    def on_resize(self) -> None:
        """Paint for the new size."""
        super().on_resize()
        self.draw()
