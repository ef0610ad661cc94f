"""Strategy hosts: the same signals as in one process, and every fault stays with its strategy."""

import subprocess
import sys
import time
from concurrent import futures
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.hosts.in_process import InProcessHosts
from engine.hosts.pool import StrategyHosts
from engine.model.portfolio import StrategySpec
from engine.model.printable import TEXT_MAX_CHARS, is_printable
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_MINUTE
from strategies.base import as_columns, flat_signals
from strategies.registry import create
from strategies.resample import close_times, resample
from strategies.variants import variants
from strategies.windows import evaluate_period, periods
from tests.strategies.series import POINT, bars_at, random_bars, utc

FAULTY = Path(__file__).with_name("faulty.py")
FORGING = Path(__file__).with_name("forging.py")
ROOT = Path(__file__).resolve().parents[2]
CLOCK = "new_york+7"
SYMBOLS = ("EURUSD", "GBPUSD")
POINTS = dict.fromkeys(SYMBOLS, POINT)
START = utc("2018-03-05 22:30")


def market(n_minutes=2500, start_ns=START, n_before=2000):
    """Return M1 bars of two symbols from before a start; the second one misses minutes."""
    minutes = start_ns + np.arange(-n_before, n_minutes - n_before) * NS_PER_MINUTE
    rng = np.random.default_rng(5)
    return {
        "EURUSD": bars_at(minutes, 1),
        "GBPUSD": bars_at(minutes[rng.random(n_minutes) > 0.1], 2),
    }


def closed_at(bars, batch_ns):
    """Return the bars that close at a batch."""
    parts = {s: b[b["time_ns"] == batch_ns - NS_PER_MINUTE] for s, b in bars.items()}
    return {symbol: part for symbol, part in parts.items() if len(part)}


def begin(hosts, bars, start_ns=START):
    """Load and start with the history before `start_ns`, as much as the hosts ask for."""
    faults = hosts.load()
    needed = hosts.m1_bars_needed(start_ns)
    past = {s: b[b["time_ns"] < start_ns][-needed.get(s, 0) :] for s, b in bars.items()}
    return faults | hosts.start(past)


def run(hosts, bars, batches):
    """Return the evaluations of the batches."""
    return [hosts.evaluate(int(t), closed_at(bars, int(t))) for t in batches]


def mixed_specs():
    """Return strategies of all kinds, on two symbols and three timeframes."""
    specs = []
    for kind in ("ma_cross", "rsi_reversion", "bollinger_reversion", "macd", "donchian_breakout"):
        for i, params in enumerate(variants(kind, 4)):
            timeframe = ("M1", "M5", "M1", "H1")[i]
            specs.append(
                StrategySpec(
                    name=f"{kind}-{i}",
                    kind=kind,
                    symbol=SYMBOLS[i % 2],
                    timeframe=timeframe,
                    params=params,
                )
            )
    return specs


@pytest.fixture
def hosts_of(tmp_path):
    """Return a maker of hosts that are closed in the end."""
    made = []

    def make(specs, **options):
        options = {"n_hosts": 2, "deadline_s": 1.0, "recovery_s": 20.0, "files": [FAULTY]} | options
        hosts = StrategyHosts(specs, POINTS, CLOCK, log_dir=tmp_path, **options)
        made.append(hosts)
        return hosts

    yield make
    for hosts in made:
        hosts.close()


def signals_of(evaluations, names=None):
    """Return the signals, comparable to the last bit, NaN equal to NaN."""
    wanted = evaluations.signals if names is None else names
    return {n: repr(s) for n, s in evaluations.signals.items() if n in wanted}


def test_processes_and_no_processes_say_the_same(hosts_of):
    """Signals and what is due do not depend on where strategies run, over a day's end."""
    bars = market()
    batches = START + np.arange(1, 121) * NS_PER_MINUTE
    alone = InProcessHosts(mixed_specs(), POINTS, CLOCK)
    begin(alone, bars)
    hosts = hosts_of(mixed_specs())
    assert begin(hosts, bars) == {}
    mine, theirs = run(hosts, bars, batches), run(alone, bars, batches)
    assert [signals_of(e) for e in mine] == [signals_of(e) for e in theirs]
    assert len(mine[0].signals) < len(mine[29].signals)  # M5 and H1 are due at 23:00 only
    assert any(s.direction == 1 for e in mine for s in e.signals.values())


def test_live_signals_are_the_backtests_at_the_same_batches():
    """Minute by minute or whole arrays: the same bits fall due at the same batches.

    Two symbols with holes, M1 to D1, one input and several, over a weekend and the end of
    daylight saving.
    """
    start = utc("2018-10-29 00:00")
    rng = np.random.default_rng(11)
    bars = {s: random_bars(rng, start, 9000) for s in SYMBOLS}
    batches = np.unique(np.concatenate([b["time_ns"] for b in bars.values()])) + NS_PER_MINUTE
    live_from = int(batches[3000])
    specs = [
        StrategySpec(name=f"{kind}-{t}-{s}", kind=kind, symbol=s, timeframe=t, params=params)
        for kind, params in (
            ("ma_cross", {"fast": 3, "slow": 5}),
            ("donchian_breakout", {"entry": 4, "exit": 2}),
        )
        for t in ("M1", "M5", "M15", "H1", "H4", "D1")
        for s in SYMBOLS
    ]
    specs += [weighs(t, *pair) for t in ("M1", "M5", "H1") for pair in (SYMBOLS, SYMBOLS[::-1])]
    hosts = InProcessHosts(specs, POINTS, CLOCK, [FAULTY])
    hosts.load()
    past = {s: b[b["time_ns"] < live_from] for s, b in bars.items()}
    hosts.start(past)
    live = {spec.name: [] for spec in specs}
    for batch in batches[batches > live_from].tolist():
        answer = hosts.evaluate(batch, closed_at(bars, batch))
        for name, signal in answer.signals.items():
            for each in [*answer.earlier.get(name, ()), signal]:
                live[name].append((batch, *list_of(each)))

    clock = ServerClock(CLOCK)
    for spec in specs:
        where = (spec.symbol, spec.timeframe, POINT)
        strategy = create(spec.kind, spec.params, *where, others=spec.others)
        series = []
        for need in strategy.inputs:
            whole, closed = resample(bars[need.symbol], need.timeframe, clock, batches)
            series.append((as_columns(whole, close_times(whole, need.timeframe, clock)), closed))
        columns, due = series[0]
        others = [other for other, _ in series[1:]]
        expected = []
        for first, last in periods(columns.time_ns, strategy.timeframe):
            signals = evaluate_period(strategy, columns, first, last, *others)
            direction, confidence, *distances = signals or flat_signals(last - first)
            for t, *row in zip(due[first:last].tolist(), direction, confidence, strict=True):
                values = map(repr, map(float, (*row, *distances)))
                expected.append((t, *values, signals is None))
        assert live[spec.name] == [row for row in expected if row[0] > live_from]
        assert live[spec.name]


def test_a_spare_takes_over_several_inputs_to_the_last_bit(hosts_of):
    """A host that took another's place, again and again, says what the one before would have.

    A day and a half into a quarter, so that two and a half days of history warm all inputs.
    """
    start = utc("2018-04-02 22:30")
    bars = market(3800, start, 3600)
    batches = start + np.arange(1, 95) * NS_PER_MINUTE
    specs = [weighs(t, *SYMBOLS) for t in ("M1", "M5", "M15", "M30")] + mixed_specs()
    params = {"higher": "M30", "fast": 2, "slow": 5}
    specs += [
        StrategySpec(name="mtf", kind="mtf_trend", symbol="GBPUSD", params=params),
        StrategySpec(name="pair", kind="pair_spread", symbol="GBPUSD", others=["EURUSD"]),
    ]
    alone = InProcessHosts(specs, POINTS, CLOCK, [FAULTY])
    begin(alone, bars, start)
    hosts = hosts_of(specs, n_hosts=1)
    assert begin(hosts, bars, start) == {}
    wait_for_spares(hosts)
    evaluations = []
    for i, batch in enumerate(batches):
        if i in (20, 33, 62):  # fed long before, or just now
            hosts._shards[0].worker.child.kill()
        evaluations += run(hosts, bars, [batch])
    expected = run(alone, bars, batches)
    assert [signals_of(e) for e in evaluations] == [signals_of(e) for e in expected]
    several = {"mtf", "pair"} | {f"weighs-{t}-EURUSD" for t in ("M1", "M5", "M15", "M30")}
    for name in several:
        said = [e.signals[name] for e in expected if name in e.signals]
        assert said
        assert not any(signal.warming for signal in said)
        assert any(signal.direction for signal in said)


def weighs(timeframe, symbol, other):
    """Return a strategy of several inputs."""
    name = f"weighs-{timeframe}-{symbol}"
    return StrategySpec(
        name=name, kind="weighs", symbol=symbol, others=[other], timeframe=timeframe
    )


def list_of(signal):
    """Return a signal's values, comparable to the last bit."""
    values = (signal.direction, signal.confidence, signal.stop_distance, signal.target_distance)
    return [*map(repr, map(float, values)), signal.warming]


SOFT = {
    "raises": "ZeroDivisionError: no luck",
    "exits": "SystemExit: 0",
    "recurses": "RecursionError",
    "hogs": "MemoryError",
    "nan": "confidence must be from 0 to 1",
    "out_of_range": "stop_distance must be above 0",
    "wrong_shape": "one value a bar",
    "wrong_type": "direction must be an array of int8",
    "nothing": "evaluate must return Signals",
    "interrupts": "KeyboardInterrupt",
    "surrogate": r"ValueError: bad \udcff name",
    "nul": r"ValueError: nul \x00 inside",
    "paints": r"ValueError: x \x1b[31mred\x1b[0m \x1b]0;OWNED\x07 \x9b31m \x1b[2J\r\ny \u202e",
    "talks": "xxx… (4,99",
    "silent": "_Silent (its text cannot be read: _Silent)",
    "endless": "_Endless (its text cannot be read: RecursionError)",
    "leaves": "_Leaves (its text cannot be read: SystemExit)",
    "group": "BaseExceptionGroup: both (2 sub-exceptions)",
    "arrays": r"GeneratorExit: \udcff",
    "objects": "direction must be an array of int8, not object",
    "fields": r"confidence must be an array of float64",
}
# Faults that cost the host.
HARD = {
    "hangs": "no answer within",
    "hangs_in_c": "no answer within",
    "sleeps": "no answer within",
    "dies": "exit code 3",
    "crashes": "exit code -11",
}
FAULTS = SOFT | HARD
WITHIN_S = 1.0
# Long enough that a busy machine alone misses none; what follows a missed one is timed from it.
PATIENT_S = 3.0
DEADLINE_S = 0.5
HANGS = ("hangs", "hangs_in_c", "sleeps")


def wait_for_spares(hosts):
    """Return when every spare is ready."""
    assert not futures.wait(hosts._spares._building, timeout=60.0).not_done


def faulty(kind, batch_ns, name=""):
    """Return a strategy that goes wrong at a batch."""
    params = {"from_minute": int(batch_ns) // NS_PER_MINUTE - 1}
    return StrategySpec(name=name or kind, kind=kind, symbol="EURUSD", params=params)


GOOD = [
    StrategySpec(name="before", kind="ma_cross", symbol="EURUSD"),
    StrategySpec(name="after", kind="macd", symbol="GBPUSD"),
]


def expected_of_good(bars, batches):
    """Return what the good ones say where nothing goes wrong."""
    alone = InProcessHosts(GOOD, POINTS, CLOCK)
    begin(alone, bars)
    return [signals_of(e) for e in run(alone, bars, batches)]


def test_every_fault_is_quarantined_alone_within_a_second(hosts_of):
    """The others' signals of the same batch and all later ones are as if nothing had been.

    One strategy after the other goes wrong, a batch apart: it raises (errors of any class, with
    any text), hangs (in C too, with and without the GIL), ends or crashes its process, takes all
    memory, breaks the output contract. No fault of the first sort costs the host.
    """
    bars = market()
    batches = START + np.arange(1, len(FAULTS) + 3) * NS_PER_MINUTE
    bad = [faulty(kind, batches[i + 1]) for i, kind in enumerate(FAULTS)]
    hosts = hosts_of([GOOD[0], *bad, GOOD[1]], n_hosts=1, deadline_s=PATIENT_S, memory_max_mb=400)
    assert begin(hosts, bars) == {}

    evaluations, took_s, workers = [], [], []
    for batch in batches:
        wait_for_spares(hosts)
        began_s = time.monotonic()
        evaluations += run(hosts, bars, [batch])
        took_s.append(time.monotonic() - began_s)
        workers.append(hosts._shards[0].worker)

    assert len(set(workers[: 1 + len(SOFT)])) == 1
    assert [list(e.faults) for e in evaluations] == [[], *([kind] for kind in FAULTS), []]
    for kind, reason in FAULTS.items():
        assert reason in hosts.quarantined[kind]
        assert is_printable(hosts.quarantined[kind])
        assert len(hosts.quarantined[kind]) <= TEXT_MAX_CHARS
    for i, kind in enumerate(FAULTS):
        assert [kind in e.signals for e in evaluations[: i + 2]] == [True] * (i + 1) + [False]
    assert [signals_of(e, ("before", "after")) for e in evaluations] == expected_of_good(
        bars, batches
    )
    timed = zip(FAULTS, took_s[1:-1], strict=True)
    late = [kind for kind, s in timed if with_deadline_s(kind, s) >= WITHIN_S]
    # Others may have had the processor: in time once of three more is the hosts' own doing.
    for kind in late:
        tries_s = [with_deadline_s(kind, alone_s(hosts_of, kind, bars)) for _ in range(3)]
        assert min(tries_s) < WITHIN_S, (kind, tries_s)


def with_deadline_s(kind, took_s):
    """Return what a batch would have taken with an engine's own deadline."""
    return took_s - PATIENT_S + DEADLINE_S if kind in HANGS else took_s


def alone_s(hosts_of, kind, bars):
    """Return how long the batch takes at which a strategy goes wrong, others beside it."""
    batch = int(START + NS_PER_MINUTE)
    specs = [GOOD[0], faulty(kind, batch), GOOD[1]]
    hosts = hosts_of(specs, n_hosts=1, deadline_s=PATIENT_S, memory_max_mb=400)
    assert begin(hosts, bars) == {}
    wait_for_spares(hosts)
    began_s = time.monotonic()
    (evaluation,) = run(hosts, bars, [batch])
    took_s = time.monotonic() - began_s
    assert list(evaluation.faults) == [kind]
    assert sorted(evaluation.signals) == ["after", "before"]
    hosts.close()
    return took_s


def test_two_that_end_their_host_at_the_same_bar_are_told_apart_within_a_second(hosts_of):
    """Two spares stand by, so a second crash at once waits for nothing; nobody else is out."""
    bars = market()
    batches = START + np.arange(1, 3) * NS_PER_MINUTE
    bad = [faulty("crashes", batches[0]), faulty("raises", batches[0]), faulty("dies", batches[0])]
    hosts = hosts_of([GOOD[0], *bad, GOOD[1]], n_hosts=1)
    begin(hosts, bars)
    wait_for_spares(hosts)
    began_s = time.monotonic()
    first = run(hosts, bars, batches[:1])[0]
    assert time.monotonic() - began_s < WITHIN_S
    assert sorted(first.faults) == ["crashes", "dies", "raises"]
    second = run(hosts, bars, batches[1:])[0]
    assert [signals_of(e) for e in (first, second)] == expected_of_good(bars, batches)


def test_more_faults_at_once_than_spares_still_leave_the_others_their_signals(hosts_of):
    """Where no spare is left, the bar waits for a new one; in every host, whatever goes wrong."""
    bars = market()
    batches = START + np.arange(1, 3) * NS_PER_MINUTE
    kinds = ("dies", "crashes", "hangs", "dies", "crashes", "hangs_in_c")
    bad = [faulty(kind, batches[0], f"{kind}-{i}") for i, kind in enumerate(kinds)]
    hosts = hosts_of([GOOD[0], *bad, GOOD[1]], n_hosts=2, deadline_s=0.5)
    begin(hosts, bars)
    evaluations = run(hosts, bars, batches)
    assert sorted(evaluations[0].faults) == sorted(spec.name for spec in bad)
    assert [signals_of(e) for e in evaluations] == expected_of_good(bars, batches)


FORGERS = ("forger", "inside", "early", "old", "nonsense", "wild", "endless_frame", "parts")


@pytest.mark.parametrize("kind", FORGERS)
def test_no_host_answers_for_another(hosts_of, kind):
    """An answer for another host's strategy, another batch, or none at all is refused.

    Whoever may have forged it is out within two batches: the user's strategies of that host, and
    they alone. What others say, there and elsewhere, is what they say without it.
    """
    bars = market()
    batches = START + np.arange(1, 7) * NS_PER_MINUTE
    specs = [GOOD[0], msgspec.structs.replace(GOOD[1], name="other"), faulty(kind, batches[1])]
    hosts = hosts_of(specs, files=[FORGING])  # the second one has a host of its own
    assert [shard.names for shard in hosts._shards] == [["before", kind], ["other"]]
    assert begin(hosts, bars) == {}
    wait_for_spares(hosts)
    evaluations = []
    for batch in batches:
        evaluations += run(hosts, bars, [batch])
        wait_for_spares(hosts)
    assert list(hosts.quarantined) == [kind]
    assert kind in {**evaluations[1].faults, **evaluations[2].faults}
    assert not any(kind in e.signals for e in evaluations[3:])
    alone = InProcessHosts(specs[:2], POINTS, CLOCK)
    begin(alone, bars)
    expected = [signals_of(e) for e in run(alone, bars, batches)]
    said = [signals_of(e, ("before", "other")) for e in evaluations]
    assert [s.get("other") for s in said] == [s.get("other") for s in expected]
    # Whose host answered early may lack one answer: HOLD, never another's word.
    assert [s for s in said if "before" in s] == [
        e for s, e in zip(said, expected, strict=True) if "before" in s
    ]
    assert sum("before" not in s for s in said) <= (kind == "early")


def test_a_kind_that_writes_into_its_bars_harms_no_other():
    """Built-in kinds share their bars, but with no kind of the user's."""
    bars = market()
    batches = START + np.arange(1, 31) * NS_PER_MINUTE
    writes = StrategySpec(name="a", kind="writes", symbol="EURUSD")
    hosts = InProcessHosts([writes, *GOOD], POINTS, CLOCK, [FAULTY])
    begin(hosts, bars)
    evaluations = run(hosts, bars, batches)
    assert all("a" in e.signals for e in evaluations)
    names = ("before", "after")
    assert [signals_of(e, names) for e in evaluations] == expected_of_good(bars, batches)


def test_memory_is_the_fault_of_the_one_that_holds_it(hosts_of):
    """Who finds no memory because another one has taken it all is not quarantined."""
    bars = market()
    batches = START + np.arange(1, 21) * NS_PER_MINUTE
    needs = StrategySpec(name="needs", kind="needs", symbol="EURUSD")
    hosts = hosts_of([faulty("leaks", batches[0]), needs], n_hosts=1, memory_max_mb=500)
    begin(hosts, bars)
    evaluations = run(hosts, bars, batches)
    assert list(hosts.quarantined) == ["leaks"]
    assert all("needs" in e.signals for e in evaluations)


def test_a_file_that_ends_its_host_costs_only_its_own_strategies(hosts_of, tmp_path):
    """What cannot be imported without harm is left out; every other strategy starts."""
    deadly = tmp_path / "deadly.py"
    deadly.write_text("import os\nos._exit(5)\n")
    specs = [StrategySpec(name="mine", kind="deadly", symbol="EURUSD"), *GOOD]
    hosts = hosts_of(specs, n_hosts=1, files=[deadly, FAULTY])
    faults = begin(hosts, market())
    assert list(faults) == ["mine"]
    assert f"strategy file {deadly}" in faults["mine"]
    assert "exit code 5" in faults["mine"]
    evaluation = run(hosts, market(), [START + NS_PER_MINUTE])[0]
    assert sorted(evaluation.signals) == ["after", "before"]


def test_the_slow_one_is_blamed_not_the_one_after(hosts_of):
    """A deadline missed is the fault of the strategy that used most of it."""
    bars = market()
    slow = StrategySpec(name="slow", kind="fine", symbol="EURUSD", params={"slow_s": 0.7})
    next_ = StrategySpec(name="next", kind="fine", symbol="EURUSD", params={"slow_s": 0.4})
    hosts = hosts_of([slow, next_], n_hosts=1, deadline_s=1.0)
    begin(hosts, bars)
    evaluations = run(hosts, bars, [START + NS_PER_MINUTE])
    assert list(evaluations[0].faults) == ["slow"]
    assert list(evaluations[0].signals) == ["next"]


def test_a_host_killed_from_outside_costs_nobody_anything(hosts_of):
    """No strategy is blamed for a host that ended while none was on."""
    bars = market()
    hosts = hosts_of(mixed_specs())
    begin(hosts, bars)
    hosts._shards[0].worker.child.kill()
    evaluations = run(hosts, bars, START + np.arange(1, 31) * NS_PER_MINUTE)
    alone = InProcessHosts(mixed_specs(), POINTS, CLOCK)
    begin(alone, bars)
    expected = run(alone, bars, START + np.arange(1, 31) * NS_PER_MINUTE)
    assert hosts.quarantined == {}
    assert [signals_of(e) for e in evaluations] == [signals_of(e) for e in expected]


def test_the_engines_side_imports_no_strategy_code():
    """Strategies, TA-Lib and numba are the host process's alone."""
    code = (
        "import sys, engine.hosts.pool\n"
        "print(sorted({'numba', 'talib', 'strategies'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_what_cannot_be_created_is_out_from_the_start(hosts_of):
    """Wrong kinds, parameters and symbols are faults at load; the rest trades."""
    specs = [
        StrategySpec(name="typo", kind="ma_cros", symbol="EURUSD"),
        StrategySpec(name="range", kind="ma_cross", symbol="EURUSD", params={"fast": 0}),
        StrategySpec(name="symbol", kind="ma_cross", symbol="XXXYYY"),
        StrategySpec(name="good", kind="ma_cross", symbol="EURUSD"),
    ]
    bars = market()
    hosts = hosts_of(specs, n_hosts=1)
    faults = begin(hosts, bars)
    assert sorted(faults) == ["range", "symbol", "typo"]
    assert "did you mean 'ma_cross'" in faults["typo"]
    assert list(run(hosts, bars, [START + NS_PER_MINUTE])[0].signals) == ["good"]


def test_what_a_kind_says_it_reads_is_its_own_fault_alone(hosts_of):
    """Inputs that are none, or that no message can carry, are refused in words; the rest starts."""
    specs = [
        StrategySpec(name=kind, kind=kind, symbol="EURUSD")
        for kind in ("reads", "counts", "refuses")
    ]
    hosts = hosts_of([*specs, *GOOD], n_hosts=1)
    faults = begin(hosts, market())
    assert r"reads '\udcff\x1b[2J', which is none of its symbols EURUSD" in faults.pop("reads")
    assert "inputs must be a tuple of Input(symbol, timeframe, warmup)" in faults.pop("counts")
    assert faults.pop("refuses") == "_Leaves (its text cannot be read: SystemExit)"
    assert faults == {}
    evaluation = run(hosts, market(), [START + NS_PER_MINUTE])[0]
    assert sorted(evaluation.signals) == ["after", "before"]


def test_what_strategies_print_and_raise_does_nothing_in_the_log(hosts_of, tmp_path):
    """The hosts' log holds every line in letters: no escape, no carriage return, no NUL."""
    batches = START + np.arange(1, 4) * NS_PER_MINUTE
    bad = [faulty("paints", batches[0]), faulty("talks", batches[0]), faulty("nul", batches[1])]
    hosts = hosts_of([*bad, *GOOD], n_hosts=1)
    begin(hosts, market())
    run(hosts, market(), batches)
    hosts.close()
    text = (tmp_path / "strategy-hosts.log").read_bytes().decode()
    assert r"red\x1b[0m" in text
    assert "line 2" in text  # where it was raised
    assert all(is_printable(line) for line in text.split("\n"))
    assert len(text) < 100_000


def test_a_quarantined_strategy_can_be_taken_back(hosts_of):
    """Restored, it goes on where it would have been, and the others do not notice."""
    bars = market()
    when = int(START) // NS_PER_MINUTE + 1
    bad = StrategySpec(name="bad", kind="raises", symbol="EURUSD", params={"from_minute": when})
    good = StrategySpec(name="good", kind="ma_cross", symbol="EURUSD")
    hosts = hosts_of([bad, good], n_hosts=1)
    begin(hosts, bars)
    run(hosts, bars, START + np.arange(1, 4) * NS_PER_MINUTE)
    assert list(hosts.quarantined) == ["bad"]
    change = hosts.prepare(again=["bad"])
    assert "no luck" in change.faults["bad"]
    hosts.discard(change)
    assert list(hosts.quarantined) == ["bad"]
    evaluation = run(hosts, bars, [START + 4 * NS_PER_MINUTE])[0]
    assert list(evaluation.signals) == ["good"]


def test_hosts_end_with_their_engine(hosts_of):
    """Closing leaves no process behind."""
    hosts = hosts_of([StrategySpec(name="good", kind="ma_cross", symbol="EURUSD")])
    begin(hosts, market())
    children = [shard.worker.child for shard in hosts._shards if shard.worker]
    spares = [future.result().worker.child for future in hosts._spares._building]
    hosts.close()
    assert spares
    assert not any(child.alive for child in children + spares)


def test_a_batch_is_cheap(hosts_of):
    """24 strategies on M1 cost milliseconds, not tens of them."""
    specs = [
        StrategySpec(name=f"{kind}-{i}", kind=kind, symbol=SYMBOLS[i % 2], params=params)
        for kind in ("ma_cross", "rsi_reversion", "donchian_breakout", "macd")
        for i, params in enumerate(variants(kind, 6))
    ]
    bars = market()
    hosts = hosts_of(specs)
    begin(hosts, bars)
    times = []
    for batch in START + np.arange(1, 100) * NS_PER_MINUTE:
        closed = closed_at(bars, int(batch))
        began = time.perf_counter()
        hosts.evaluate(int(batch), closed)
        times.append(time.perf_counter() - began)
    assert np.median(times) < 0.02


def test_who_is_left_without_a_host_is_named(hosts_of):
    """Where no host can be had a batch goes on without its strategies, as if they said HOLD, and
    says whose; nobody is quarantined for it, and the next host has seen every bar."""
    bars = market()
    batches = START + np.arange(1, 4) * NS_PER_MINUTE
    why = ["none to be had"]
    fault = lambda: why[0] if why else ""  # noqa: E731
    hosts = hosts_of(GOOD, n_hosts=1, n_spares=0, deadline_s=PATIENT_S, fault=fault)
    reason = why.pop()
    assert begin(hosts, bars) == {}
    (first,) = run(hosts, bars, batches[:1])
    assert (first.left_out, sorted(first.signals)) == ([], ["after", "before"])
    why.append(reason)
    hosts._recovery_s = 0.2
    hosts._shards[0].worker.child.kill()
    (second,) = run(hosts, bars, batches[1:2])
    assert sorted(second.left_out) == ["after", "before"]
    assert (second.signals, second.faults, hosts.quarantined) == ({}, {}, {})
    why.clear()
    hosts._recovery_s = 60.0
    (third,) = run(hosts, bars, batches[2:])
    assert (third.left_out, third.faults) == ([], {})
    undisturbed = InProcessHosts(GOOD, POINTS, CLOCK)
    begin(undisturbed, bars)
    assert signals_of(third) == signals_of(run(undisturbed, bars, batches)[-1])
