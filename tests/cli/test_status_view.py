"""What `pmpro status` says of figures that are not known yet."""

import math
import random

from msgspec.structs import replace

from pmpro_tui.bench.scripted_snapshots import ScriptedSnapshots
from pmpro_tui.cli.status_view import facts


def test_what_is_not_known_is_a_dash() -> None:
    """A young engine has no correlations; no line says nan."""
    now = ScriptedSnapshots(random.Random(1)).snapshot
    unknown = dict.fromkeys(
        (
            "var_frac",
            "shortfall_frac",
            "historical_var_frac",
            "historical_shortfall_frac",
            "diversification_ratio",
            "correlation_max",
        ),
        math.nan,
    )
    lines = facts(replace(now, risk=replace(now.risk, **unknown)))

    assert not any("nan" in text for _, text in lines)
    assert dict(lines)["correlation"] == "– at most between two held"
    assert facts(now) != lines
