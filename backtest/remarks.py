"""What a reader of a backtest has to know beside its figures, one line each."""

from backtest.simulate import Result
from engine.model.symbols import price_text
from engine.model.times import NS_PER_MINUTE, iso_utc


def remarks(result: Result) -> list[str]:
    """Return the lines, the gravest first."""
    return _doubted_prices(result)


def _doubted_prices(result: Result) -> list[str]:
    """Say which symbols had prices that were not believed."""
    quotes = result.core.quotes
    out = []
    for spec, n, newest_ns, bid in zip(
        result.compiled.symbols,
        quotes["n_doubts"].tolist(),
        quotes["doubt_ns"].tolist(),
        quotes["bid"].tolist(),
        strict=True,
    ):
        if n:
            minutes = "1 minute" if n == 1 else f"{n:,} minutes"
            when = iso_utc(newest_ns - newest_ns % NS_PER_MINUTE)
            out.append(
                f"{spec.name}: {minutes} with an implausible price, the last {when}: it moved no "
                f"mark and met no stop (the last believed bid is {price_text(bid)})"
            )
    return out
