"""`pmpro strategy check` fails what the contract forbids, by name and line, and nothing else."""

import re
from pathlib import Path

import pytest

from engine.model.symbols import DEFAULT_SYMBOLS
from pmpro_tui.checking.client import Checkers
from pmpro_tui.checking.records import AskCheck, BarsWanted, Found, Job, Subject
from strategies.checks.watch import FAMILIES
from tests.strategies.series import utc

FORBIDDEN = Path(__file__).with_name("forbidden.py")
HONEST = Path(__file__).with_name("honest.py")
# In the file: a cheat's family and name, or a class's.
CHEAT = re.compile(
    r'^@cheat\("(\w+)"\)\ndef (\w+)|^    kind = "(\w+)"\n    family = "(\w+)"', re.MULTILINE
)
# What one process cannot find out.
OF_PROCESSES = ("zone_of_the_box", "zone_of_the_box_again", "state_at_first", "hash_of_a_text")


def cheats() -> dict[str, tuple[str, int]]:
    """Return each kind with its family and its line that breaks the contract, 0 for any."""
    text, found = FORBIDDEN.read_text(), {}
    places = list(CHEAT.finditer(text))
    for match, after in zip(places, [*places[1:], None], strict=True):
        family, name, kind, of_class = match.groups()
        part = text[match.start() : after.start() if after else len(text)]
        before, arrow, _ = part.partition("# <--")
        line = text[: match.start()].count("\n") + before.count("\n") + 1 if arrow else 0
        found[name or kind] = (family or of_class, line)
    return found


CHEATS = cheats()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Checkers(tmp_path_factory.mktemp("check"), deadline_s=100.0, memory_max_mb=0)
    yield pair
    pair.close()


def job(kind, file, **subject):
    """Return a week of M1."""
    return Job(
        subject=Subject(kind=kind, **subject),
        files=[str(file)],
        wanted=BarsWanted(from_ns=utc("2026-02-16 00:00"), to_ns=utc("2026-02-21 00:00")),
        specs=DEFAULT_SYMBOLS,
        spend_s=1.0,
    )


def failed(findings):
    return {f.check: f.text for f in findings if f.status == "fail"}


def test_there_are_enough_cheats_of_every_sort():
    """Clock, chance, environment, files, network, processes, threads, memory, frames, state."""
    families = {family for family, _ in CHEATS.values()}
    assert len(CHEATS) > 75
    assert families >= {*FAMILIES, "determinism", "window", "state", "inputs", "lookahead"}


@pytest.mark.parametrize("kind", CHEATS)
def test_a_cheat_fails_by_its_name_and_line(pair, kind):
    """Whatever it does beside computing is found although most of it changes no signal."""
    family, line = CHEATS[kind]
    if kind in OF_PROCESSES:
        findings = pair.check(job(kind, FORBIDDEN)).findings
    else:
        answers = pair._ask(pair._first, AskCheck(job(kind, FORBIDDEN)), kind)
        findings = [answer.finding for answer in answers if isinstance(answer, Found)]
    found = failed(findings)
    if family == "other":
        assert found
    elif family in FAMILIES:
        assert FAMILIES[family] in found["outside"]
    else:
        assert family in found
    if line:
        assert f"forbidden.py, line {line}" in " ".join(found.values())


@pytest.mark.parametrize(
    ("code", "family", "line"),
    [
        ("import time\nBEGAN = time.time()", "clock", 2),
        ("from datetime import datetime\nBEGAN = datetime.now()", "clock", 2),
        ("import os\nPID = os.getpid()", "machine", 2),
        ("import os\nWEIGHT = len(os.environ)", "environment", 2),
        ("import os\nWEIGHT = os.environ.get('WEIGHT', '1')", "environment", 2),
        ("import random\nWEIGHT = random.random()", "chance", 2),
        ("import numpy\n\nWEIGHTS = numpy.random.normal(size=3)", "chance", 3),
        ("FUTURE = open('/etc/hostname').read()", "files", 1),
        ("import json\nfrom pathlib import Path\nTEXT = Path(__file__).read_text()", "files", 3),
        ("import socket\nNAME = socket.gethostname()", "network", 2),
        ("import subprocess\nsubprocess.run(['true'])", "processes", 2),
        ("WEIGHT = hash('chance')", "addresses", 1),
        ("import threading\nthreading.Thread(target=int).start()", "threads", 2),
    ],
)
def test_a_file_that_cheats_as_it_is_loaded_fails(pair, tmp_path, code, family, line):
    """What a file learns while it is imported it knows at every call; others have no part in it."""
    honest = HONEST.read_text().partition("class ZScore")[0]
    file = tmp_path / "loads.py"
    kind = f"loads_{abs(hash(code))}"
    rest = honest.partition("\n\n")[2]
    file.write_text(f"{code}\n{rest}".replace("honest_gap", kind))
    pair.kinds([str(file)], required=True)
    answers = pair._ask(pair._first, AskCheck(job(kind, file)), kind)
    found = failed(answer.finding for answer in answers if isinstance(answer, Found))
    assert FAMILIES[family] in found["outside"]
    assert f"loads.py, line {line}, as it is loaded" in found["outside"]


def honest_kinds() -> list[str]:
    return re.findall(r'^    kind = "(\w+)"', HONEST.read_text(), re.MULTILINE)


@pytest.mark.parametrize("kind", honest_kinds())
def test_honest_strategies_pass_everything(pair, kind):
    """NumPy, TA-Lib, pandas, numba, dates, sets that are sorted, dice of one's own: no failure."""
    report = pair.check(job(kind, HONEST))
    assert report.failures == []
    warned = {f.check for f in report.findings if f.status == "warn"}
    assert warned <= {"coverage", "lookahead", "warm-up", "cost", "state"}
    assert ("state" in warned) == (kind == "honest_remembered"), report.findings


def test_there_are_enough_honest_ones():
    """At least ten beside the built-in kinds, whose own tests are `test_checker`'s."""
    assert len(honest_kinds()) >= 15
