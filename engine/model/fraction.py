"""Fractions as people write them: 0.2 or 20%."""

from engine.model.errors import UserError


def parse_fraction(text: str) -> float:
    """Return a fraction from 0 to 1.

    Raises:
        UserError: it is none; a bare 20 is not taken for 20 %.
    """
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100.0 if percent else 1.0)
    except ValueError:
        value = -1.0
    if rest or not 0.0 <= value <= 1.0:
        raise UserError(f"{text!r} is no share: write 0.2 or 20%, from 0 to 1 or 100%")
    return value
