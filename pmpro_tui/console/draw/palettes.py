"""The colours of each theme. One accent; gain and loss have glyphs beside their colours.

On a terminal of sixteen colours each theme has a palette of exactly these, so that no tone falls
together with another one by being rounded to it. `safe` tells gain from loss to colour-blind eyes:
sky blue, vermillion and yellow after M. Okabe and K. Ito, "Color Universal Design", 2008.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from rich.style import Style
from textual.app import App
from textual.theme import Theme


@dataclass(frozen=True, kw_only=True)
class Palette:
    """A theme's colours: three grounds, text on them, and what has a meaning."""

    name: str
    dark: bool
    paper: str
    surface: str
    panel: str
    ink: str
    muted: str
    rule: str
    accent: str
    plot: str
    good: str
    warn: str
    bad: str


DARK: Final = Palette(
    name="dark",
    dark=True,
    paper="#0e1216",
    surface="#151b21",
    panel="#1d252d",
    ink="#c8cdd3",
    muted="#7d8893",
    rule="#36414c",
    accent="#d7a65f",
    plot="#79a8c9",
    good="#6fb98f",
    warn="#e0b050",
    bad="#e06c6c",
)
LIGHT: Final = Palette(
    name="light",
    dark=False,
    paper="#f8f6f1",
    surface="#eeebe4",
    panel="#dedacf",
    ink="#20262c",
    muted="#5a636c",
    rule="#bcb8ac",
    accent="#7a4e00",
    plot="#20618a",
    good="#17693f",
    warn="#7d5600",
    bad="#b3261e",
)
SAFE: Final = Palette(
    name="safe",
    dark=True,
    paper="#101010",
    surface="#191919",
    panel="#262626",
    ink="#d6d6d6",
    muted="#8c8c8c",
    rule="#444444",
    accent="#cc79a7",
    plot="#14a97f",
    good="#56b4e9",
    warn="#f0e442",
    bad="#e8702a",
)
PALETTES: Final = {palette.name: palette for palette in (DARK, LIGHT, SAFE)}
_DARK_16: Final = Palette(
    name="dark-16",
    dark=True,
    paper="#000000",
    surface="#000000",
    panel="#0000aa",
    ink="#ffffff",
    muted="#aaaaaa",
    rule="#555555",
    accent="#55ffff",
    plot="#00aaaa",
    good="#55ff55",
    warn="#ffff55",
    bad="#ff5555",
)
_LIGHT_16: Final = Palette(
    name="light-16",
    dark=False,
    paper="#ffffff",
    surface="#ffffff",
    panel="#aaaaaa",
    ink="#000000",
    muted="#555555",
    rule="#aaaaaa",
    accent="#0000aa",
    plot="#aa00aa",
    good="#00aa00",
    warn="#aa5500",
    bad="#aa0000",
)
_SAFE_16: Final = replace(
    _DARK_16, name="safe-16", accent="#aaaaaa", plot="#00aa00", good="#55ffff", bad="#ff55ff"
)
SIXTEEN: Final = {"dark": _DARK_16, "light": _LIGHT_16, "safe": _SAFE_16}
_BY_NAME: Final = {palette.name: palette for palette in (*PALETTES.values(), *SIXTEEN.values())}


def apply_theme(app: App[Any], name: str) -> None:
    """Have a console take a theme's colours, those of the palettes that its terminal can show."""
    app.theme = name if name in app.available_themes else SIXTEEN[name].name


def apply_next_theme(app: App[Any]) -> None:
    """Have a console take the next theme's colours."""
    names = [name for name in _BY_NAME if name in app.available_themes]
    app.theme = names[(names.index(app.theme) + 1) % len(names)]


def theme_of(palette: Palette) -> Theme:
    """Return a palette as the toolkit's theme."""
    return Theme(
        name=palette.name,
        primary=palette.accent,
        accent=palette.accent,
        foreground=palette.ink,
        background=palette.paper,
        surface=palette.surface,
        panel=palette.panel,
        success=palette.good,
        warning=palette.warn,
        error=palette.bad,
        dark=palette.dark,
        variables={"muted": palette.muted, "rule": palette.rule},
    )


# Plain styles, not component classes: the latter cost a tenth of the time to the first paint.
@cache
def tones(name: str) -> dict[str, Style]:
    """Return the styles of a theme by tone."""
    p = _BY_NAME.get(name, DARK)
    return {
        "accent": Style(color=p.accent),
        "alarm": Style(color="#ffffff", bgcolor="#b3261e", bold=True),
        "bad": Style(color=p.bad),
        "bold": Style(bold=True),
        "cursor": Style(bgcolor=p.panel, bold=True),
        "demo": Style(color=p.paper, bgcolor=p.plot, bold=True),
        "good": Style(color=p.good),
        "header": Style(color=p.muted),
        "live": Style(color="#ffffff", bgcolor="#b3261e", bold=True),
        "muted": Style(color=p.muted),
        "other-mode": Style(color=p.paper, bgcolor=p.ink, bold=True),
        "plot": Style(color=p.plot),
        "rule": Style(color=p.rule),
        "tab": Style(color=p.paper, bgcolor=p.accent, bold=True),
        "title": Style(color=p.ink, bold=True),
        "track": Style(color=p.rule),
        "warn": Style(color=p.warn),
    }
