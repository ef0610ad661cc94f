"""`python -m tests.faults.campaign --n N --seed SEED`: N runs, a line each, a summary at the end.

Exit code 1 on any violation. Run number i has the seed SEED + i: `--n 1 --seed` repeats one.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from engine.child.log import errors_to_stderr
from tests.faults.campaign.breaks import BREAKS
from tests.faults.campaign.nursery import Nursery
from tests.faults.campaign.plan import draw
from tests.faults.campaign.run import Database, Result, run


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--n", type=int, default=60, help="runs")
    parser.add_argument("--seed", type=int, default=1, help="the first run's seed")
    parser.add_argument("--keep", action="store_true", help="leave the directories of the runs")
    parser.add_argument("--broken", choices=sorted(BREAKS), default="", help="break the engine")
    options = parser.parse_args()
    errors_to_stderr()
    # A campaign that is broken off ends what it started, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    place = Path(tempfile.mkdtemp(prefix="pmf-", dir="/var/tmp"))
    counts: Counter[str] = Counter()
    n_orders = n_bad = 0
    nursery, database = Nursery(place / "nursery.log"), Database(place)
    try:
        for number in range(options.seed, options.seed + options.n):
            home = place / str(number)
            home.mkdir()
            began_s = time.monotonic()
            result = run(draw(number), database, nursery, home, broken=options.broken)
            _say(result, time.monotonic() - began_s)
            counts += result.counts
            n_orders += result.n_orders
            n_bad += bool(result.violations)
            if not (options.keep or result.violations):
                shutil.rmtree(home)
    finally:
        nursery.close()
        database.close()
    if not (options.keep or n_bad):
        shutil.rmtree(place, ignore_errors=True)
    else:
        print(f"left in {place}")
    for name, count in sorted(counts.items()):
        print(f"{count:7d}  {name}")
    words = f"{n_bad} runs with violations" if n_bad else "no violation"
    print(f"{options.n} runs from seed {options.seed}, {n_orders} orders: {words}")
    return 1 if n_bad else 0


def _say(result: Result, took_s: float) -> None:
    happened = ", ".join(f"{n} × {name}" for name, n in sorted(result.counts.items()))
    print(
        f"seed {result.seed}: {result.n_orders} orders, {result.n_positions} positions left, "
        f"{took_s:.1f} s; {happened}",
        flush=True,
    )
    for violation in result.violations:
        print(f"  VIOLATION {violation}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
