"""`pmpro bench terminal`: real calls through a real host; no limits are checked here."""

from pmpro_tui.bench.terminal import LIMITS, call_times_ms, figures_of


def test_every_call_is_timed() -> None:
    """As many times as calls, and the figures hold every limit, each the percentile it names."""
    times_ms = call_times_ms(20)

    assert len(times_ms) == 20
    assert min(times_ms) > 0.0
    figures = figures_of([1.0] * 98 + [9.0] * 2)
    assert LIMITS.keys() <= figures.keys()
    assert (figures["terminal_call_p50_ms"], figures["terminal_call_p99_ms"]) == (1.0, 9.0)
