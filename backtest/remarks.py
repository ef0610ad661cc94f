"""What a reader of a backtest has to know beside its figures, one line each."""

from backtest.simulate import Result
from backtest.stopped import barred_books, stopped
from engine.model.symbols import price_text
from engine.model.times import NS_PER_MINUTE, iso_utc


def remarks(result: Result) -> list[str]:
    """Return the lines, the gravest first."""
    found = stopped(result)
    first = [found.line] if found else []
    return [*first, *barred_books(result), *_releases(result), *_doubted_prices(result)]


def _releases(result: Result) -> list[str]:
    """Say how often the high-water mark was lowered: each time the portfolio lost as much again."""
    if not result.releases:
        return []
    days = result.compiled.portfolio.risk.drawdown_release
    n, first, last = len(result.releases), result.releases[0], result.releases[-1]
    when = iso_utc(first.time_ns)[:10]
    if n > 1:
        when += f" to {iso_utc(last.time_ns)[:10]}"
    before, after = f"{first.before_ccy:,.2f}", f"{last.after_ccy:,.2f}"
    text = f"drawdown_release = {days} lowered the high-water mark {n} time(s), {when}"
    return [f"{text}: from {before} to {after} {result.compiled.portfolio.account.currency}"]


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
