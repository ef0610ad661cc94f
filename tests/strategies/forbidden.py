"""A user's file of strategies that do what the contract forbids, each in one way.

Each is `Honest` but for one line, marked with an arrow, and most say the same as that one does.
"""

# What they do is what nobody should.
# ruff: noqa: B006, B018, DTZ003, DTZ005, DTZ006, DTZ011, ICN001, NPY002, PTH110, PTH111, PTH123
# ruff: noqa: PTH208, RUF012, RUF015

import ctypes
import datetime
import decimal
import functools
import gc
import hashlib
import importlib
import inspect
import itertools
import logging
import os
import platform
import queue
import random
import resource
import secrets
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import types
import urllib.request
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time_ns as when

import numpy as np
import pandas as pd
import talib
from numpy.random import default_rng

from engine.model.signals import FLAT, LONG, SHORT
from strategies.base import Params, Strategy
from strategies.indicators import sma

PERIOD = 20
MINUTE_NS = 60_000_000_000
BESIDE = Path(__file__)


class Honest(Strategy):
    """With the side of the average that the close is on."""

    kind = "honest_base"
    params_type = Params
    warmup = PERIOD

    def evaluate(self, bars, *others):
        return self.said(bars.close - sma(bars.close, PERIOD), bars)

    def said(self, gap, bars):
        direction, confidence = np.full(bars.n, FLAT, np.int8), np.zeros(bars.n)
        direction[PERIOD:] = np.sign(gap[PERIOD:])
        confidence[PERIOD:] = np.minimum(np.abs(gap[PERIOD:]) * 1e3, 1.0)
        return self.signals(direction, confidence)


def cheat(family):
    """Make a kind of a function that is called with the bars before the honest answer."""

    def make(function):
        def evaluate(self, bars, *others):
            said = Honest.evaluate(self, bars)
            other = function(self, bars, said)
            return said if other is None else other

        attributes = {"kind": function.__name__, "family": family, "evaluate": evaluate}
        return type(function.__name__, (Honest,), attributes | {"__module__": __name__})

    return make


def weighed(said, weight):
    """Return what was said with another confidence."""
    return said._replace(confidence=said.confidence * (0.5 + weight % 1.0 / 2))


# ---- the clock


@cheat("clock")
def clock_time(self, bars, said):
    if time.time() < 0:  # <--
        raise ValueError


@cheat("clock")
def clock_by_another_name(self, bars, said):
    when()  # <--


@cheat("clock")
def clock_in_c(self, bars, said):
    functools.partial(time.perf_counter)()  # <--


@cheat("clock")
def clock_by_getattr(self, bars, said):
    getattr(importlib.import_module("ti" + "me"), "mono" + "tonic")()  # <--


@cheat("clock")
def clock_on_a_rare_bar(self, bars, said):
    if (bars.time_ns // MINUTE_NS % (5 * 1440) == 777).any():
        time.process_time_ns()  # <--


@cheat("clock")
def clock_datetime_now(self, bars, said):
    datetime.datetime.now()  # <--


@cheat("clock")
def clock_utcnow(self, bars, said):
    return weighed(said, datetime.datetime.utcnow().day / 31)  # <--


@cheat("clock")
def clock_date_today(self, bars, said):
    [datetime.date.today() for _ in range(1)]  # <--


@cheat("clock")
def clock_pandas_now(self, bars, said):
    pd.Timestamp.now()  # <--


@cheat("clock")
def clock_pandas_word(self, bars, said):
    pd.Timestamp("now")  # <--


@cheat("clock")
def clock_numpy_word(self, bars, said):
    np.datetime64("now")  # <--


@cheat("clock")
def clock_to_datetime(self, bars, said):
    pd.to_datetime(["today"])  # <--


@cheat("clock")
def clock_localtime(self, bars, said):
    time.localtime()  # <--


@cheat("clock")
def clock_strftime(self, bars, said):
    time.strftime("%H")  # <--


@cheat("clock")
def clock_sleep(self, bars, said):
    time.sleep(0)  # <--


@cheat("other")
def zone_of_the_box(self, bars, said):
    return weighed(said, datetime.datetime.fromtimestamp(0).hour / 24)


@cheat("other")
def zone_of_the_box_again(self, bars, said):
    return weighed(said, time.mktime((2026, 1, 1, 0, 0, 0, 0, 0, 0)) / 3600 / 24)


@cheat("clock")
def clock_of_a_zone(self, bars, said):
    return weighed(said, datetime.datetime.now(datetime.UTC).microsecond / 1e6)  # <--


@cheat("clock")
def clock_hour_of_today(self, bars, said):
    return weighed(said, pd.Timestamp("10:30").value / 1e9 / 86400 / 37)  # <--


@cheat("clock")
def clock_hours_of_today(self, bars, said):
    return weighed(said, pd.to_datetime(["9:30"], format="%H:%M").dayofyear[0] / 367)  # <--


@cheat("clock")
def clock_period(self, bars, said):
    pd.Period.now("D")  # <--


@cheat("machine")
def clock_of_the_processor(self, bars, said):
    resource.getrusage(resource.RUSAGE_SELF)  # <--


# ---- files, network, processes, threads


@cheat("network")
def network_select(self, bars, said):
    select.select([], [], [], 0.0001)  # <--


@cheat("processes")
def process_signals(self, bars, said):
    signal.getsignal(signal.SIGTERM)  # <--


@cheat("environment")
def environment_home(self, bars, said):
    os.path.expanduser("~")  # <--


@cheat("addresses")
def thread_number(self, bars, said):
    threading.get_ident()  # <--


@cheat("determinism")
def one_of_a_set(self, bars, said):
    return weighed(said, len({"alpha", "be", "gam"}.pop()) / 7)  # <--


@cheat("files")
def file_open(self, bars, said):
    with open("/etc/hostname") as file:  # <--
        file.read()


@cheat("files")
def file_path(self, bars, said):
    Path("/etc/hostname").read_text()  # <--


@cheat("files")
def file_pandas(self, bars, said):
    try:
        pd.read_csv("/etc/passwd")  # <--
    except Exception:
        return


@cheat("files")
def file_numpy(self, bars, said):
    try:
        np.load("/no/such/file.npy")  # <--
    except OSError:
        return


@cheat("files")
def file_sqlite(self, bars, said):
    sqlite3.connect(":memory:").close()  # <--


@cheat("files")
def file_written(self, bars, said):
    (Path(tempfile.gettempdir()) / "memory").write_text("x")  # <--


@cheat("files")
def file_own(self, bars, said):
    BESIDE.read_bytes()  # <--


@cheat("files")
def directory(self, bars, said):
    os.listdir("/")  # <--


@cheat("machine")
def file_is_there(self, bars, said):
    os.path.exists("/etc/hostname")  # <--


@cheat("network")
def network_socket(self, bars, said):
    try:
        socket.socket()  # <--
    except OSError:
        return


@cheat("network")
def network_name(self, bars, said):
    socket.gethostname()  # <--


@cheat("network")
def network_url(self, bars, said):
    try:
        urllib.request.urlopen("http://127.0.0.1:9/")  # <--
    except OSError:
        return


@cheat("processes")
def process_run(self, bars, said):
    subprocess.run(["true"], check=False)  # <--


@cheat("processes")
def process_system(self, bars, said):
    os.system("true")  # <--


@cheat("machine")
def process_id(self, bars, said):
    return weighed(said, os.getpid() % 97 / 97)  # <--


@cheat("machine")
def processors(self, bars, said):
    os.cpu_count()  # <--


@cheat("machine")
def machine_name(self, bars, said):
    os.uname()  # <--


@cheat("threads")
def thread(self, bars, said):
    threading.Thread(target=len, args=("",)).start()  # <--


@cheat("threads")
def thread_pool(self, bars, said):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(len, "").result()  # <--


# ---- environment, chance


@cheat("environment")
def environment(self, bars, said):
    return weighed(said, len(os.environ["PATH"]) / 100)  # <--


@cheat("environment")
def environment_get(self, bars, said):
    os.getenv("HOME")  # <--


@cheat("environment")
def environment_all(self, bars, said):
    dict(os.environ)  # <--


@cheat("chance")
def chance(self, bars, said):
    return weighed(said, random.random())  # <--


@cheat("chance")
def chance_seeded_for_all(self, bars, said):
    random.seed(7)  # <--
    return weighed(said, random.random())


@cheat("chance")
def chance_numpy(self, bars, said):
    np.random.seed(3)  # <--
    return weighed(said, np.random.normal())


@cheat("chance")
def chance_numpy_thrown_away(self, bars, said):
    np.random.uniform()  # <--


@cheat("chance")
def chance_generator(self, bars, said):
    default_rng().normal()  # <--


@cheat("chance")
def chance_own_generator(self, bars, said):
    random.Random().random()  # <--


@cheat("chance")
def chance_uuid(self, bars, said):
    uuid.uuid4()  # <--


@cheat("chance")
def chance_secret(self, bars, said):
    secrets.randbelow(5)  # <--


@cheat("chance")
def chance_system(self, bars, said):
    os.urandom(1)  # <--


@cheat("addresses")
def hash_of_a_text(self, bars, said):
    return weighed(said, hash("chance") % 1000 / 1000)  # <--


@cheat("addresses")
def address(self, bars, said):
    return weighed(said, id(bars) % 4096 / 4096)  # <--


@cheat("other")
def address_shown(self, bars, said):
    return weighed(said, sum(map(ord, repr(object()))) / 1000)


NAMES = {"alpha", "beta"}


@cheat("determinism")
def order_of_a_set(self, bars, said):
    first = list(NAMES)[0]  # <--
    return weighed(said, 0.3 if first == "alpha" else 0.6)


@cheat("determinism")
def order_of_another_set(self, bars, said):
    total = 0.0
    for name in {str(n) + "x" for n in range(9)} | NAMES:  # <--
        total = total / 3 + len(name) + ord(name[0])
    return weighed(said, total)


# ---- frames and memory


@cheat("frames")
def caller(self, bars, said):
    sys._getframe(1)  # <--


@cheat("frames")
def callers(self, bars, said):
    inspect.currentframe()  # <--


@cheat("frames")
def frame_of_an_error(self, bars, said):
    try:
        raise ValueError
    except ValueError as error:
        error.__traceback__.tb_frame.f_back  # <--


@cheat("frames")
def everything_there_is(self, bars, said):
    gc.get_objects(0)  # <--


@cheat("memory")
def memory_by_address(self, bars, said):
    ctypes.string_at(bars.close.__array_interface__["data"][0], 8)  # <--


@cheat("window")
def base(self, bars, said):
    whole = bars.close.base  # <--
    if whole is None or whole.ndim != 2 or whole.shape[1] == bars.n:
        return None
    ahead = np.sign(whole[3][1 : bars.n + 1] - bars.close).astype(np.int8)
    ahead[:PERIOD] = 0
    return said._replace(direction=ahead)


@cheat("window")
def beyond_the_end(self, bars, said):
    if bars.close.base is None:  # <--
        return None
    longer = np.lib.stride_tricks.as_strided(bars.close, (bars.n + 1,))
    ahead = np.sign(longer[1:] - bars.close).astype(np.int8)
    ahead[:PERIOD] = 0
    return said._replace(direction=ahead)


# ---- state

COUNT = 0


@cheat("state")
def state_global(self, bars, said):
    global COUNT
    COUNT += 1  # <--


class StateOfAClass(Honest):
    """Counts for all that are of its class."""

    kind = "state_of_a_class"
    family = "state"
    seen = {}

    def evaluate(self, bars, *others):
        type(self).seen[len(self.seen)] = bars.n  # <--
        return super().evaluate(bars)


class StateOfItsOwn(Honest):
    """Knows the price of the window before."""

    kind = "state_of_its_own"
    family = "state"
    last = 0.0

    def evaluate(self, bars, *others):
        before, self.last = self.last, bars.close[-1]  # <--
        return weighed(super().evaluate(bars), before)


class StateSlots(Honest):
    """Keeps the bars themselves."""

    kind = "state_slots"
    family = "state"
    __slots__ = ("kept",)

    def evaluate(self, bars, *others):
        self.kept = bars  # <--
        return super().evaluate(bars)


class StateDefault(Honest):
    """A default argument that grows."""

    kind = "state_default"
    family = "state"

    def evaluate(self, bars, *others, seen=[]):  # <--
        seen.append(bars.n)
        return super().evaluate(bars)


@functools.lru_cache
def first_close(_day):
    """Return the first close that was seen of a day, in whichever symbol."""
    return CLOSES[0]


CLOSES = [1.0]


class StateCached(Honest):
    """A cache that remembers what came first."""

    kind = "state_cached"
    family = "state"

    def evaluate(self, bars, *others):
        CLOSES[0] = float(bars.close[-1])  # <--
        return weighed(super().evaluate(bars), first_close(int(bars.time_ns[-1] // 864e11)))


COUNTER = itertools.count()


@cheat("state")
def state_counter(self, bars, said):
    next(COUNTER)  # <--


def numbers():
    """Yield one number after the other."""
    n = 0
    while True:
        n += 1
        yield n


NUMBERS = numbers()


@cheat("state")
def state_generator(self, bars, said):
    next(NUMBERS)  # <--


def enclosing():
    """Return a function that remembers."""
    n = 0

    def count():
        nonlocal n
        n += 1  # <--
        return n

    return count


count_up = enclosing()


@cheat("state")
def state_enclosed(self, bars, said):
    count_up()


def noted():
    """Has an attribute."""


@cheat("state")
def state_of_a_function(self, bars, said):
    noted.n = getattr(noted, "n", 0) + 1


@cheat("state")
def state_elsewhere(self, bars, said):
    sys.pmpro_seen = [*getattr(sys, "pmpro_seen", []), bars.n]


OWN_DICE = random.Random(7)


@cheat("state")
def state_of_dice(self, bars, said):
    return weighed(said, OWN_DICE.random())


class Memory:
    """Prices by time: what was seen once is known for ever, the future too."""

    prices = {}


@cheat("state")
def state_future(self, bars, said):
    for at, close in zip(bars.time_ns.tolist(), bars.close.tolist(), strict=True):
        Memory.prices.setdefault(at, close)
    minute = bars.time_ns[1] - bars.time_ns[0]
    now = bars.close.tolist()
    ahead = [
        Memory.prices.get(at + minute, p) for at, p in zip(bars.time_ns.tolist(), now, strict=True)
    ]
    direction = np.sign(np.array(ahead) - bars.close).astype(np.int8)
    direction[:PERIOD] = 0
    return said._replace(direction=direction)


class StateAtFirst(Honest):
    """Remembers its first window for good, and measures all others by it."""

    kind = "state_at_first"
    family = "determinism"
    level = None

    def evaluate(self, bars, *others):
        if self.level is None:
            self.level = float(bars.close[0])
        return weighed(super().evaluate(bars), self.level * 1000)


class StateBuffer(Honest):
    """Returns the same memory every time."""

    kind = "state_buffer"
    family = "state"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.buffer = np.zeros(100_000)

    def evaluate(self, bars, *others):
        said = super().evaluate(bars)
        self.buffer[: bars.n] = said.confidence  # <--
        return said._replace(confidence=self.buffer[: bars.n])


DEEP = {"a": {"b": {"c": {"d": {"e": {"f": [0]}}}}}}
BIG = np.zeros(2_000_000)
LONG_ONE = list(range(5_000))
LOCAL = threading.local()
METHOD = [].append
DIGEST = hashlib.md5(usedforsecurity=False)
DEFLATE = zlib.compressobj()
QUEUE = queue.SimpleQueue()
VIEW = memoryview(bytearray(8))


@cheat("state")
def state_deep(self, bars, said):
    DEEP["a"]["b"]["c"]["d"]["e"]["f"][0] += 1


@cheat("state")
def state_at_the_end_of_much(self, bars, said):
    BIG[-1] += 1.0


@cheat("state")
def state_in_the_middle(self, bars, said):
    LONG_ONE[40] += 1


@cheat("state")
def state_of_a_thread(self, bars, said):
    LOCAL.n = getattr(LOCAL, "n", 0) + 1


@cheat("state")
def state_behind_a_method(self, bars, said):
    METHOD(bars.n)


@cheat("state")
def state_of_a_digest(self, bars, said):
    DIGEST.update(b"x")


@cheat("state")
def state_of_a_stream(self, bars, said):
    DEFLATE.compress(b"x")


@cheat("state")
def state_queue(self, bars, said):
    QUEUE.put(1)


@cheat("state")
def state_of_a_view(self, bars, said):
    VIEW[0] = (VIEW[0] + 1) % 250


@cheat("state")
def state_in_a_library(self, bars, said):
    np.linalg.mine = getattr(np.linalg, "mine", 0) + 1


@cheat("state")
def state_in_the_base(self, bars, said):
    Strategy.calls_seen = getattr(Strategy, "calls_seen", 0) + 1


@cheat("state")
def state_in_a_module_of_nowhere(self, bars, said):
    module = sys.modules.setdefault("nowhere_at_all", types.ModuleType("nowhere_at_all"))
    module.n = getattr(module, "n", 0) + 1


class Outer:
    """Has a class in it."""

    class Inner:
        """Counts."""

        n = 0


@cheat("state")
def state_of_an_inner_class(self, bars, said):
    Outer.Inner.n += 1


@cheat("state")
def state_by_a_name_of_the_languages(self, bars, said):
    self.__n__ = getattr(self, "__n__", 0) + 1


@cheat("state")
def setting_of_decimal(self, bars, said):
    decimal.getcontext().prec += 1


@cheat("state")
def setting_of_numpy(self, bars, said):
    np.seterr(over="ignore" if np.geterr()["over"] == "warn" else "warn")


@cheat("state")
def setting_of_talib(self, bars, said):
    talib.set_unstable_period("EMA", (talib.get_unstable_period("EMA") + 1) % 50)


@cheat("state")
def setting_of_a_logger(self, bars, said):
    logger = logging.getLogger("nobodys")
    logger.setLevel(logger.level + 1)


@cheat("state")
def setting_of_python(self, bars, said):
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)


@cheat("inputs")
def writes_rarely(self, bars, said):
    if bars.n == PERIOD + 1:
        bars.high[0] += 1.0


@cheat("lookahead")
def ahead_when_the_window_is_whole(self, bars, said):
    if bars.n < 500:
        return None
    ahead = np.where(np.append(np.diff(bars.close), 0.0) > 0, LONG, SHORT).astype(np.int8)
    ahead[:PERIOD] = FLAT
    return said._replace(direction=ahead)


@cheat("machine")
def machine_by_platform(self, bars, said):
    platform.uname.__wrapped__() if hasattr(platform.uname, "__wrapped__") else os.uname()  # <--
