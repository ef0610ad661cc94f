"""Names that are nearly right lead to the right ones."""

import pytest

from engine.model.near import meant, nearest

KNOWN = ["eur-trend", "eur-rsi", "EURUSD", "XAUUSD", "gross_exposure_max_frac"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("eur-tend", "eur-trend"),
        ("EUR-TREND", "eur-trend"),
        ("eurusd", "EURUSD"),
        ("xauusd", "XAUUSD"),
        ("gross_exposure_max", "gross_exposure_max_frac"),
        ("Gross-Exposure-Max-Frac", "gross_exposure_max_frac"),
        ("zzz", ""),
        ("XAGUSD", "XAUUSD"),
        ("GBPUSD", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_found(wrong, right):
    """A slip of a letter or of the case finds its name; what is like none finds none."""
    assert nearest(wrong, KNOWN) == right
    assert meant(wrong, KNOWN) == (f", did you mean {right!r}?" if right else "")
