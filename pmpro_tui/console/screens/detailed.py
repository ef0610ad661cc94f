"""A screen one of whose panels takes the place of the others: enter opens it, esc leaves it."""

from typing import ClassVar

from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens.page import Page


class Detailed(Page):
    """A screen with a detail; `DETAIL` is its panel's id, beside those in `PANELS`."""

    DETAIL: ClassVar[str] = "detail"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.opened = False
        self._before = self.active

    def shows(self, panel: str) -> bool:
        """Show the detail alone, or all but the detail."""
        if self.opened or panel == self.DETAIL:
            return self.opened and panel == self.DETAIL
        return super().shows(panel)

    def open_detail(self) -> None:
        """Let the detail take the place of the panels."""
        if not self.opened:
            self.opened, self._before, self.active = True, self.active, self.DETAIL
        self.place(narrow=self.narrow)
        self.draw(self.hub.shown)

    def back(self) -> bool:
        """Leave the detail."""
        if not self.opened:
            return False
        self.opened, self.active = False, self._before
        return True

    def step_panel(self, step: int) -> None:
        """Give the keys to another panel, unless the detail has them."""
        if not self.opened:
            super().step_panel(step)
