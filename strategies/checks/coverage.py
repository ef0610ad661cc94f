"""Coverage: which signals the bars brought about at all. What never fired was not checked."""

from collections.abc import Sequence

import numpy as np

from engine.model.signals import FLAT, HOLD, LONG, SHORT
from strategies.checks.findings import Finding, Status, counted
from strategies.checks.probe import Probe, ProbedPeriod, ProbedSignals


def check_coverage(probe: Probe, periods: Sequence[ProbedPeriod]) -> Finding:
    """Count what was said after the warm-ups, HOLD taken for what was said before."""
    warmup = probe.strategy.warmup
    parts = [period.output.part(warmup) for period in periods]
    said = ProbedSignals(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    counts = _counts(said) | {
        "bars": len(said.direction),
        "periods": len(periods),
        "warming": probe.n_warming,
    }
    status, remark = _verdict(counts)
    text = (
        f"{counted(counts['bars'], 'bar')} in {counted(counts['periods'], 'period')}: "
        f"{counts['longs']:,} LONG, {counts['shorts']:,} SHORT, {counts['exits']:,} FLAT exits, "
        f"{counts['holds']:,} HOLD bars, {counts['changes']:,} changes; "
        f"{counts['stops']:,} with a stop, {counts['targets']:,} with a target, "
        f"{counts['confidences']:,} distinct confidences, {counts['warming']:,} bars warming"
    )
    figures = {name: float(n) for name, n in counts.items()}
    return Finding("coverage", status, f"{text}{remark}", figures)


def _counts(said: ProbedSignals) -> dict[str, int]:
    raw = said.direction
    known = np.where(raw == HOLD, 0, np.arange(1, len(raw) + 1))
    latched = np.concatenate([[FLAT], raw])[np.maximum.accumulate(known)]
    before = np.concatenate([[FLAT], latched[:-1]])
    entered = (latched != before) & (latched != FLAT)
    in_market = latched != FLAT
    return {
        "longs": int((entered & (latched == LONG)).sum()),
        "shorts": int((entered & (latched == SHORT)).sum()),
        "exits": int(((latched == FLAT) & (before != FLAT)).sum()),
        "holds": int((raw == HOLD).sum()),
        "changes": int(entered.sum()),
        "stops": int((in_market & ~np.isnan(said.stop_distance)).sum()),
        "targets": int((in_market & ~np.isnan(said.target_distance)).sum()),
        "confidences": len(np.unique(said.confidence[raw != FLAT])),
    }


def _verdict(counts: dict[str, int]) -> tuple[Status, str]:
    if not counts["changes"]:
        return "fail", ": nothing fired, so nothing was checked; give other bars or parameters"
    sorts = {"longs": "LONG", "shorts": "SHORT", "exits": "FLAT exit", "holds": "HOLD"}
    never = [word for name, word in sorts.items() if not counts[name]]
    remarks = []
    if never:
        remarks.append(f"never {', '.join(never)}: what leads there was not checked")
    if not counts["stops"]:
        remarks.append("never a stop: fixed_fraction sizing refuses such entries (NO_STOP)")
    return ("warn", f"; {'; '.join(remarks)}") if remarks else ("ok", "")
