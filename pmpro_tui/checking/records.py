"""What is asked of the process that runs users' code, and what it answers."""

import msgspec

from engine.model.symbols import SymbolSpec
from strategies.checks.findings import Finding

Value = bool | int | float | str


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The strategy that is checked; without others, its kind's further symbols are chosen."""

    kind: str
    name: str = ""
    symbol: str = "EURUSD"
    others: list[str] = []
    timeframe: str = "M1"
    params: dict[str, Value] = {}


class BarsWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which bars: of a directory, or generated from a seed; [from, to), None for the usual."""

    data: str = ""
    source: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    seed: int = 1


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A subject with all that it takes to check it.

    `files` are users' files that may define its kind. `spend_s` is about how long the slowest
    checks may take, `deadline_share_s` a strategy's part of its host's deadline.
    """

    subject: Subject
    files: list[str]
    wanted: BarsWanted
    specs: dict[str, SymbolSpec]
    server_clock: str = "new_york+7"
    spend_s: float = 30.0
    deadline_share_s: float = 0.01


class AskKinds(msgspec.Struct, frozen=True, tag="kinds"):
    """Load these files; every kind is told, with `required` each file must load."""

    files: list[str]
    required: bool = False


class AskCheck(msgspec.Struct, frozen=True, tag="check"):
    """Check a subject: answered by Begun, findings, and what was said."""

    job: Job


class AskAnswers(msgspec.Struct, frozen=True, tag="answers"):
    """Say what a subject says at these cuts, (start, stop), and over all; see `checker.answers`."""

    job: Job
    cuts: list[tuple[int, int]]
    backwards: bool = False


class ParameterInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A kind's parameter; `low` and `high` are inclusive, None for a choice."""

    name: str
    type: str
    default: Value
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    unit: str
    description: str
    allowed: str


class KindInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A kind with its parameters; `file` is the user's that defines it, "" for built in."""

    kind: str
    file: str
    n_symbols: int
    summary: str
    parameters: list[ParameterInfo]


class Kinds(msgspec.Struct, frozen=True, tag=True):
    """All kinds, and the files that could not be loaded."""

    kinds: list[KindInfo]
    faults: list[str]


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What is checked on which bars: names, numbers of bars, ISO 8601 times."""

    name: str
    kind: str
    symbols: list[str]
    timeframe: str
    params: dict[str, Value]
    warmup: int
    bars: str
    first: str
    last: str


class Found(msgspec.Struct, frozen=True, tag=True):
    """One check is done."""

    finding: Finding


class Said(msgspec.Struct, frozen=True, tag=True):
    """Hashes of what was said at each cut, and over all; "" where the contract is broken.

    `ends` are the times of the cuts' last bars, ISO 8601.
    """

    whole: str
    cuts: list[tuple[int, int]] = []
    answers: list[str] = []
    ends: list[str] = []


class CheckRefused(msgspec.Struct, frozen=True, tag="Refusal"):
    """What the operator must change before anything can be checked."""

    text: str


Ask = AskKinds | AskCheck | AskAnswers
Answer = Kinds | Begun | Found | Said | CheckRefused


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """A checked strategy."""

    strategy: Begun
    findings: list[Finding]

    @property
    def failures(self) -> list[str]:
        """Return the failed checks as lines."""
        return [f"{f.check}: {f.text}" for f in self.findings if f.status == "fail"]
