"""`pmpro bench console`: a real console on a real pseudo-terminal; no limits are checked here."""

import random

from pmpro_tui.bench.console import LIMITS, console_figures, publish_figures
from pmpro_tui.bench.scripted_snapshots import N_STRATEGIES, ScriptedSnapshots


def test_a_step_changes_the_share_of_rows_it_is_told() -> None:
    """Nothing else than what is asked for changes among the rows, and the version always does."""
    picture = ScriptedSnapshots(random.Random(2))
    for changed_frac in (0.0, 0.3, 1.0):
        before = picture.snapshot
        picture.step(changed_frac)
        now = picture.snapshot
        rows = zip(before.strategies, now.strategies, strict=True)
        assert sum(a != b for a, b in rows) == round(changed_frac * N_STRATEGIES)
        assert now.version == before.version + 1


def test_every_figure_is_measured() -> None:
    """A console is started, drawn, pressed and weighed; more rows that change send more."""
    figures = console_figures(1.0, n_starts=1, n_keys=3, settle_s=0.5)
    figures |= publish_figures(1.0, n_strategies=20)

    assert LIMITS.keys() <= figures.keys()
    assert all(value > 0.0 for value in figures.values())
    assert figures["terminal_all_rows_kb_s"] > figures["terminal_kb_s"]
