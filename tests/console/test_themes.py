"""Every theme can be read, on a terminal of sixteen colours too; times name their zone."""

from typing import Any

import pytest
from rich.color import Color, ColorSystem

from pmpro_tui.console.draw.palettes import PALETTES, SIXTEEN, Palette, tones
from pmpro_tui.console.draw.zone import Zone
from tests.console.scripted import ALARM, START_NS, Clock, ScriptedFeed, console, drive

THEMES = pytest.mark.parametrize("palette", PALETTES.values(), ids=list(PALETTES))
# Text as WCAG 2.2, 1.4.3, wants it; rules and tracks only part what stands beside them.
_TEXT, _MARK = 4.5, 1.4


@THEMES
def test_every_tone_stands_out_from_every_ground(palette: Palette) -> None:
    """Text has the contrast that weak eyes need, on all three grounds."""
    for name, style in tones(palette.name).items():
        front = style.color.name if style.color else palette.ink
        grounds = (
            [style.bgcolor.name]
            if style.bgcolor
            else [palette.paper, palette.surface, palette.panel]
        )
        least = _MARK if name in ("rule", "track") else _TEXT - 1.0 * (name in ("muted", "header"))
        for ground in grounds:
            ratio = _contrast(front, ground)
            assert ratio >= least, (name, ground, round(ratio, 2))


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(name: str) -> float:
    channels = [c / 255 for c in Color.parse(name).get_truecolor()]
    red, green, blue = (
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@THEMES
def test_tones_are_apart_in_sixteen_colours(palette: Palette) -> None:
    """Gain, loss, warning, accent and plain text are five colours, none of them a ground's."""
    basic = SIXTEEN[palette.name]
    said = [basic.good, basic.bad, basic.warn, basic.accent, basic.ink]
    grounds = [basic.paper, basic.surface, basic.panel]
    numbers = [_number(colour) for colour in said]
    assert len(set(numbers)) == len(numbers)
    assert not {_number(colour) for colour in grounds} & {*numbers, _number(basic.muted)}


def _number(colour: str) -> int | None:
    return Color.parse(colour).downgrade(ColorSystem.STANDARD).number


@pytest.mark.parametrize("key", "12378")
@THEMES
def test_sixteen_colours_stay_readable(palette: Palette, key: str) -> None:
    """On a terminal of sixteen colours no text falls together with its ground."""
    feed = ScriptedFeed(Clock(), changes=dict(ALARM), theme=palette.name)
    app = console(feed, sixteen=True)
    clashes = set()

    async def script(pilot: Any) -> None:
        await pilot.press(key)
        await pilot.pause()
        assert app.theme == SIXTEEN[palette.name].name
        for widget in app.main.query("Lines"):
            for y in range(widget.size.height):
                for segment in widget.render_line(y):
                    style = widget.rich_style + (segment.style or widget.rich_style)
                    assert style.color is not None
                    assert style.bgcolor is not None
                    front = style.color.downgrade(ColorSystem.STANDARD)
                    back = style.bgcolor.downgrade(ColorSystem.STANDARD)
                    is_rule = set(segment.text) <= set(" ─┼━╸╌")
                    if front.number == back.number and not is_rule:
                        clashes.add((segment.text.strip(), style.color.name, front.name))

    drive(app, script)
    assert not clashes


def test_the_key_takes_the_next_theme() -> None:
    """`T` goes round all themes; what is drawn follows."""
    app = console(ScriptedFeed(Clock()))

    async def script(pilot: Any) -> None:
        seen = []
        for _ in PALETTES:
            await pilot.press("T")
            await pilot.pause()
            strip = app.main.query_one("#footer").render_line(0)
            seen.append((app.theme, next(iter(strip)).style.color.name))  # type: ignore[union-attr]
        assert [name for name, _ in seen] == ["light", "safe", "dark"]
        assert [colour for _, colour in seen] == [PALETTES[name].accent for name, _ in seen]

    drive(app, script)


def test_times_are_in_the_chosen_zone_and_say_which() -> None:
    """The first line names the zone; log and alerts follow it."""
    feed = ScriptedFeed(Clock(), changes=dict(ALARM), zone="Asia/Tokyo")
    app = console(feed)

    async def script(pilot: Any) -> None:
        status = app.main.query_one("#status")
        assert "2026-06-10 21:33:05 JST" in status.text  # type: ignore[attr-defined]
        await pilot.press("6")
        assert "21:32:28" in app.main.page.query_one("#events").text  # type: ignore[attr-defined]
        await pilot.press("z")
        await pilot.pause()
        assert "12:33:05 UTC" in status.text  # type: ignore[attr-defined]
        assert "12:32:28" in app.main.page.query_one("#events").text  # type: ignore[attr-defined]

    drive(app, script)


def test_a_zone_knows_summer_and_winter() -> None:
    """The same zone has another name and offset half a year later."""
    zone = Zone()
    zone.configure("Europe/Berlin")
    half_a_year_ns = 183 * 86_400 * 10**9
    assert (zone.clock(START_NS), zone.label(START_NS)) == ("14:33:05", "CEST")
    later_ns = START_NS + half_a_year_ns
    assert (zone.clock(later_ns), zone.label(later_ns)) == ("13:33:05", "CET")
