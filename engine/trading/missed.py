"""Batches that passed unseen: bars that came late are taken minute by minute, orders off."""

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.broker import MarketUpdate
from engine.model.times import NS_PER_MINUTE


def split_missed(update: MarketUpdate) -> tuple[list[tuple[int, dict[str, Bars]]], MarketUpdate]:
    """Return the missed batches in an update, oldest first, and the update of the batch itself.

    A bar belongs to the batch at its close; those that closed before `batch_ns` were missed.
    """
    bars = unpack(update)
    first_open_ns = update.batch_ns - NS_PER_MINUTE
    if all(records["time_ns"][0] >= first_open_ns for records in bars.values() if len(records)):
        return [], update  # as nearly always
    missed = list(_by_close(bars, update.batch_ns))
    now = {
        name: records[records["time_ns"] + NS_PER_MINUTE >= update.batch_ns].tobytes()
        for name, records in bars.items()
    }
    return missed, msgspec.structs.replace(update, bars={k: v for k, v in now.items() if v})


def unpack(update: MarketUpdate) -> dict[str, Bars]:
    """Return an update's closed bars by symbol."""
    return {name: np.frombuffer(raw, BAR_DTYPE) for name, raw in update.bars.items()}


def _by_close(bars: Mapping[str, Bars], before_ns: int) -> Iterator[tuple[int, dict[str, Bars]]]:
    closes = {name: records["time_ns"] + NS_PER_MINUTE for name, records in bars.items()}
    times = np.unique(np.concatenate([np.empty(0, np.int64), *closes.values()]))
    for close_ns in times[times < before_ns].tolist():
        yield (
            close_ns,
            {
                name: bars[name][closes[name] == close_ns]
                for name in bars
                if (closes[name] == close_ns).any()
            },
        )
