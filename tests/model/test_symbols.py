"""What is said of prices."""

import pytest

from engine.model.symbols import price_text


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (67_123.45, "67123.45"),
        (102_345.675, "102345.675"),
        (16_250_000.0, "16250000"),
        (1.10500, "1.105"),
        (142.6390001, "142.639"),
        (0.5, "0.5"),
        (0.612345, "0.612345"),
        (0.00000845, "0.00000845"),
        (0.0000012345, "0.0000012345"),
        (100.0, "100"),
    ],
)
def test_a_price_is_said_in_full(price: float, text: str) -> None:
    """However large, no digit of a price is rounded away or written as a power of ten."""
    assert price_text(price) == text
