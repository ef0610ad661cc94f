"""Market data files in a directory: `<SYMBOL>_<TIMEFRAME>_<PERIOD>_<SOURCE>.parquet|csv`."""

import re
from pathlib import Path

import msgspec

from engine.model.errors import DataError
from engine.model.near import meant
from engine.model.printable import printable
from engine.model.times import Timeframe

PATTERN = "<SYMBOL>_<TIMEFRAME>_<PERIOD>_<SOURCE>.parquet|csv"
_NAME = re.compile(
    rf"(?P<symbol>.+?)_(?P<timeframe>{'|'.join(Timeframe.__members__)})"
    r"_(?P<period>[^_]+)_(?P<source>.+)\.(?:parquet|csv)"
)


class MarketFile(msgspec.Struct, frozen=True):
    """One data file and what its name says."""

    path: Path
    symbol: str
    timeframe: Timeframe
    source: str


def parse_name(path: Path) -> MarketFile | None:
    """Return what a file's name says, None if it does not parse."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    return MarketFile(path, match["symbol"], Timeframe[match["timeframe"]], match["source"])


def list_files(data_dir: Path) -> tuple[list[MarketFile], list[str]]:
    """Return the directory's data files by name, and the names that do not parse.

    Raises:
        DataError: there is no such directory.
    """
    if not data_dir.is_dir():
        what = "is not a directory" if data_dir.exists() else "does not exist"
        raise DataError(f"data directory {data_dir} {what}: name one with files {PATTERN}")
    files: list[MarketFile] = []
    skipped: list[str] = []
    try:
        paths = sorted(data_dir.iterdir())
    except OSError as e:
        raise DataError(f"data directory {data_dir} cannot be read: {e.strerror}") from None
    for path in paths:
        if path.suffix not in (".parquet", ".csv") or path.name.startswith("."):
            continue
        file = parse_name(path)
        if file is None:
            skipped.append(printable(path.name))
        else:
            files.append(file)
    return files, skipped


def choose_files(
    files: list[MarketFile], symbol: str, data_dir: Path, source: str | None
) -> list[MarketFile]:
    """Return the M1 files of a symbol, of one source where it is given.

    Raises:
        DataError: there is none; the message says what is there instead.
    """
    own = [f for f in files if f.symbol == symbol]
    m1 = [f for f in own if f.timeframe == Timeframe.M1]
    chosen = [f for f in m1 if source is None or f.source == source]
    for file in chosen:
        if not file.path.is_file():
            raise DataError(f"{file.path}: is no file that can be read; move it away")
    if chosen:
        return chosen
    if m1:
        there = ", ".join(sorted({f.source for f in m1}))
        hint = meant(source or "", [f.source for f in m1]) or ";"
        raise DataError(
            f"{data_dir}: no {symbol} M1 file of source {source!r}{hint} sources: {there}"
        )
    if own:
        there = ", ".join(sorted({f.timeframe.name for f in own}))
        raise DataError(
            f"{data_dir}: {symbol} has only {there} files; the decision clock is M1: "
            f"add {symbol}_M1_<PERIOD>_<SOURCE>.parquet or .csv"
        )
    raise DataError(
        f"{data_dir}: no data of {symbol}: add {symbol}_M1_<PERIOD>_<SOURCE>.parquet or .csv"
    )
