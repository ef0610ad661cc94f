"""One run: engines that live and are killed until the plan has ended, then the check."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import URL, create_engine

from engine.model.reasons import TradingState
from engine.store import migrate
from engine.store.embedded import EmbeddedServer, Urls
from engine.terminal.simulated.fault_text import FAULTS
from tests.faults.campaign.check import read, violations
from tests.faults.campaign.nursery import Nursery
from tests.faults.campaign.plan import Job, Plan
from tests.parity.portfolios import compiled_of

# Runs do not lose power.
FAST = {"fsync": "off", "full_page_writes": "off"}
LIVES_MAX = 12


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did and what did not hold after it. `counts`: faults and kills that happened."""

    seed: int
    violations: list[str]
    counts: Counter[str]
    n_orders: int = 0
    n_positions: int = 0


class Database:
    """The campaign's PostgreSQL: a fresh migrated database a run, started again when killed."""

    def __init__(self, place: Path) -> None:
        place.chmod(0o711)
        self._server = EmbeddedServer(
            place / "shared", place / "run", base_dir=place / "base", start_s=60.0, settings=FAST
        )
        self._urls = self._server.start()
        migrate.upgrade(self._urls.owner)
        self._n_made = 0

    @property
    def pid(self) -> int:
        """The server's process."""
        process = self._server._process
        assert process is not None
        return process.pid

    def make(self) -> Urls:
        """Return a new database, as owner and as operator, in the place of the last one."""
        last, self._n_made = self._n_made, self._n_made + 1
        name = f"run_{self._n_made}"
        admin = create_engine(
            self._urls.owner.set(database="postgres"), isolation_level="AUTOCOMMIT"
        )
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS run_{last} WITH (FORCE)")
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE pmpro STRATEGY FILE_COPY")
        admin.dispose()
        return Urls(self._urls.owner.set(database=name), self._urls.operator.set(database=name))

    def restart(self) -> None:
        """Start the server that was killed."""
        self._server.start()

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()


class _Facts:
    """What the workers of a run told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.n_starts = 0
        self.next_batch = 0
        self.done = False
        self.engine_killed = False
        self.terminal_killed = False
        self.n_before = 0
        self.ended: dict[str, Any] = {}

    def begin(self) -> None:
        """Begin another life."""
        self.engine_killed = self.terminal_killed = False
        self.n_before = self.n_starts

    @property
    def refused_to_start(self) -> bool:
        """Whether this life ended because its terminal was killed while it started."""
        return self.terminal_killed and self.n_starts == self.n_before and not self.engine_killed

    def take(self, fact: dict[str, Any]) -> None:
        """Take one."""
        match fact:
            case {"started": _}:
                self.n_starts += 1
            case {"batch": int(number)}:
                self.next_batch = number + 1
            case {"state": str(name)}:
                self.counts[name] += 1
            case {"killed": str(target), "at": str(point)}:
                self.counts[f"kill {target}"] += 1
                self.counts[f"at {point}"] += 1
                self.engine_killed = target == "engine"
                self.terminal_killed |= target == "terminal"
            case {"turn_failed": str(text)}:
                self.ended.setdefault("turns failed", []).append(text)
            case {"done": True}:
                self.done = True
                self.ended |= fact
            case _:
                self.ended |= fact


def run(
    plan: Plan, database: Database, nursery: Nursery, home: Path, *, broken: str = ""
) -> Result:
    """Carry out a plan and return what did not hold; `home` is an empty directory with a short
    name."""
    (home / "portfolio.toml").write_text(plan.portfolio, encoding="utf-8")
    urls = database.make()
    facts = _Facts()
    found: list[str] = []
    for life in range(LIVES_MAX):
        job = Job(
            plan=plan,
            home=str(home),
            database_url=_psycopg(urls.owner),
            database_pid=database.pid,
            first=facts.next_batch,
            life=life,
            broken=broken,
        )
        facts.begin()
        with nursery.engine(job, home) as (words, code):
            for line in words:
                fact = msgspec.json.decode(line)
                if fact.get("killed") == "database":
                    database.restart()
                facts.take(fact)
        if facts.done:
            break
        if facts.refused_to_start:
            continue
        if code != [-signal.SIGKILL] or not facts.engine_killed:
            found.append(f"the engine ended with code {code}: {_tail(home / 'engine.log')}")
            return Result(seed=plan.seed, violations=found, counts=facts.counts)
    facts.counts += _struck(home)
    found += _said(facts)
    compiled = compiled_of(plan.portfolio)
    evidence = read(_state(home), compiled)
    found += violations(evidence, urls.owner, (facts.n_starts, life + 1))
    return Result(
        seed=plan.seed,
        violations=found,
        counts=facts.counts,
        n_orders=len(evidence.intents),
        n_positions=len(evidence.positions),
    )


def _struck(home: Path) -> Counter[str]:
    """Return how often each fault struck, by the terminal hosts' log."""
    counts: Counter[str] = Counter()
    for line in (_state(home) / "logs" / "terminal-host.log").read_bytes().splitlines():
        if b'"fault_struck"' in line:
            fact = msgspec.json.decode(line)
            own = fact["call"] == FAULTS[fact["name"]].get("call", "order_send")
            counts[fact["name"] if own else f"{fact['name']} {fact['call']}"] += 1
    return counts


def _said(facts: _Facts) -> list[str]:
    """Return what the engine's own words say is wrong."""
    said = [f"the engine's turn failed: {text}" for text in facts.ended.get("turns failed", ())]
    if not facts.done:
        said.append(f"the plan had not ended after {LIVES_MAX} lives")
    if facts.ended.get("account") == int(TradingState.REDUCING):
        said.append(f"the engine is in doubt: {facts.ended.get('reason')}")
    return said


def _state(home: Path) -> Path:
    (state,) = (home / "state").glob("demo*")
    return state


def _psycopg(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-1500:]
