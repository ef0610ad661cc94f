"""When two values are equal: the last bits of a computation never decide a trade.

Prices are decimals that binary holds to 1e-16 of themselves; two averages over different windows,
or a price and a level between two points, may be equal as decimals and differ there. So a kind
compares with these tolerances, which scale with the price: the same market in cents and in
dollars gives the same signals.
"""

from typing import Final

EQUAL_FRAC: Final = 1e-13
"""Values in units of the price are equal where they are nearer than this part of the price."""

SLACK_MOST: Final = 1e300
"""The slack of an index whose unit has shrunk to nothing: finite, so that inf stays beyond it."""

EQUAL_INDEX: Final = 1e-6
"""Values of an index from 0 to 100, a quotient of ways of some points, are equal within this."""
