"""The command's side: users' code is asked in a child process that may hang, crash or end."""

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.child.parent import Child, ChildError, ChildFailed, ChildTimeout
from engine.model.errors import PmproError, StrategyError
from pmpro_tui.checking.records import (
    Answer,
    Ask,
    AskAnswers,
    AskCheck,
    AskKinds,
    Begun,
    CheckRefused,
    CheckReport,
    Found,
    Job,
    Kinds,
    Said,
)
from strategies.checks.findings import CHECKS, Finding

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode


class CheckLost(PmproError):
    """User code hung, crashed or ended the process that checked it."""


class Circumstances(NamedTuple):
    """How a child is placed, where a strategy must not notice."""

    hash_seed: str
    shift_s: int
    """By how much its clocks are wrong."""

    zone: str
    backwards: bool


# More than a year, and at another time of the day, of the hour and of the minute.
_FAR_S = 400 * 86_400 + 7 * 3_600 + 13 * 60 + 17
OTHERS: Final = (
    Circumstances("2", _FAR_S, "AAA-5:47", backwards=False),
    Circumstances("3", -_FAR_S, "BBB+9:11", backwards=True),
    Circumstances("4", 0, "UTC0", backwards=True),
)


class Checkers:
    """A child that checks, and others that only say what the strategy says there.

    These have another order of hashes, other clocks and another zone, and one of them asks for
    the bars from the last to the first.
    """

    def __init__(
        self, log_dir: Path, *, deadline_s: float, memory_max_mb: int, hidden: Sequence[Path] = ()
    ) -> None:
        self._deadline_s = deadline_s
        self._memory_max_mb = memory_max_mb
        self._hidden = [str(path) for path in hidden]
        self._log = log_dir / "user-code.log"
        self._scratch = log_dir / "scratch"
        self._scratch.mkdir()
        self._first = self._start("1", 0)
        self._others: list[Child] = []

    def kinds(self, files: list[str], *, required: bool) -> Kinds:
        """Return all kinds, those of users' files among them.

        Raises:
            StrategyError: a file that is `required` cannot be loaded.
            CheckLost: a file hangs or ends the process.
        """
        answers = self._ask(self._first, AskKinds(files, required), ", ".join(files))
        (kinds,) = answers
        assert isinstance(kinds, Kinds)
        return kinds

    def check(self, job: Job, told: Callable[[str], None] = lambda _: None) -> CheckReport:
        """Return what the checks found; `told` hears what is under way.

        Raises:
            UserError: the strategy cannot be made, or there are no bars for it.
            CheckLost: it hangs or ends the process.
        """
        subject = job.subject
        who = f"{subject.name} ({subject.kind})" if subject.name else subject.kind
        if not self._others:
            self._others = [self._start(o.hash_seed, o.shift_s, o.zone) for o in OTHERS]
        begun, *rest = self._ask(self._first, AskCheck(job), who, told)
        assert isinstance(begun, Begun)
        findings = [part.finding for part in rest if isinstance(part, Found)]
        mine = next(part for part in rest if isinstance(part, Said))
        if mine.whole:
            differ = self._differ(job, who, mine)
            findings = [_compared(finding, differ) for finding in findings]
        return CheckReport(strategy=begun, findings=findings)

    def close(self) -> None:
        """End all; they hold nothing."""
        for child in (self._first, *self._others):
            child.kill()
            child.close()

    def _differ(self, job: Job, who: str, mine: Said) -> str:
        """Ask the others at once; return where one says something else, "" for nowhere."""
        with ThreadPoolExecutor(len(OTHERS)) as pool:
            asked = [
                pool.submit(self._ask, child, AskAnswers(job, mine.cuts, o.backwards), who)
                for child, o in zip(self._others, OTHERS, strict=True)
            ]
            replies = [each.result() for each in asked]
        for (other,) in replies:
            assert isinstance(other, Said)
            pairs = zip(mine.ends, mine.answers, other.answers, strict=False)
            for end, one, two in pairs:
                if one != two:
                    return f"at {end}, the last bar of its window"
            if mine.whole != other.whole:
                return "of the same windows" if other.whole else "as it raises or breaks them"
        return ""

    def _start(self, hash_seed: str, shift_s: int, zone: str = "") -> Child:
        env = {"PYTHONHASHSEED": hash_seed, "TMPDIR": str(self._scratch)}
        env |= {f"LC_PMPRO_{i}": "C" for i in range(len(zone))}  # each has another environment
        return Child(
            "pmpro_tui.checking.host",
            [str(self._memory_max_mb), str(shift_s), str(self._scratch), *self._hidden],
            name="strategy-check",
            log_path=self._log,
            env=env | ({"TZ": zone} if zone else {}),
            others=True,
        )

    def _ask(
        self, child: Child, ask: Ask, who: str, told: Callable[[str], None] = lambda _: None
    ) -> list[Answer]:
        answers: list[Answer] = []

        def take(body: bytes) -> None:
            answers.append(_decode(body))
            told(f"{who} {_where(ask, answers)}")

        deadline_s = time.monotonic() + self._deadline_s
        try:
            child.send(_encode(ask), timeout_s=self._deadline_s)
            child.collect(
                timeout_s=deadline_s - time.monotonic(),
                on_frame=take,
            )
        except ChildFailed as error:
            raise CheckLost(f"{who}: {str(error).partition(': ')[2]}") from None
        except ChildError as error:
            child.kill()
            how = self._how(child, error)
            raise CheckLost(f"{who}: {how} {_where(ask, answers)}") from None
        for answer in answers:
            if isinstance(answer, CheckRefused):
                raise StrategyError(answer.text)
        return answers

    def _how(self, child: Child, error: ChildError) -> str:
        if isinstance(error, ChildTimeout):
            return f"has not come to an end within {self._deadline_s:g} s (--deadline)"
        code = child.exit_code
        if code is not None and code < 0:
            return f"crashed its process ({signal.Signals(-code).name})"
        return f"ended its process (exit code {code})"


@contextmanager
def checkers(
    *, deadline_s: float, memory_max_mb: int, hidden: Sequence[Path] = ()
) -> Iterator[Checkers]:
    """Give children for as long as the block runs; what user code prints is not shown.

    They do not read the `hidden` places.
    """
    log_dir = Path(tempfile.mkdtemp(prefix="pmpro-check-"))
    pair = Checkers(log_dir, deadline_s=deadline_s, memory_max_mb=memory_max_mb, hidden=hidden)
    try:
        yield pair
    finally:
        pair.close()
        shutil.rmtree(log_dir, ignore_errors=True)


def _where(ask: Ask, answers: list[Answer]) -> str:
    """Return what was under way."""
    if isinstance(ask, AskAnswers):
        return "when a fresh process evaluated it"
    if isinstance(ask, AskKinds) or not answers:
        return "while it was loaded"
    done = [answer.finding.check for answer in answers if isinstance(answer, Found)]
    after = CHECKS.index(done[-1]) + 1 if done else 0
    return f"in the check {CHECKS[after]!r}" if after < len(CHECKS) else "after the last check"


def _compared(finding: Finding, differ: str) -> Finding:
    """Add to the finding about determinism what fresh processes said."""
    if finding.check != "determinism" or finding.status == "fail":
        return finding
    if not differ:
        text = f"{finding.text}, and so did {len(OTHERS)} fresh processes"
        return msgspec.structs.replace(finding, text=text)
    return Finding(
        "determinism",
        "fail",
        f"a fresh process says something else {differ}: no chance, clock, environment, set order, "
        "hash, address or state",
        finding.figures,
    )
