"""`pmpro bench journal`: real commits to a real disk; no limits are checked here."""

from pathlib import Path

from pmpro_tui.bench.journal import LIMITS, commit_times_ms, figures_of


def test_every_commit_is_timed(tmp_path: Path) -> None:
    """As many times as commits, nothing is left behind, and the figures hold every limit."""
    intents_ms, states_ms = commit_times_ms(20, tmp_path)

    assert len(intents_ms) == len(states_ms) == 20
    assert min(intents_ms) > 0.0
    assert list(tmp_path.iterdir()) == []
    figures = figures_of([1.0] * 98 + [9.0] * 2, states_ms)
    assert LIMITS.keys() <= figures.keys()
    assert (figures["journal_commit_p50_ms"], figures["journal_commit_p99_ms"]) == (1.0, 9.0)
