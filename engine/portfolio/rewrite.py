"""A portfolio's file with changes made in it: all that did not change stays as it was written.

The file is cut into blocks, one a table header, and tomlkit edits the blocks that change: comments,
order and spacing of the operator's file are its own. A comment goes only with the table or the
line that it stands in.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from engine.model.errors import ConfigError
from engine.model.portfolio import Portfolio
from engine.portfolio.file import parse_portfolio
from engine.portfolio.text import plain, section_text, toml_text

LENGTH_MAX: Final = 300_000
"""Characters; a longer file is written anew without its comments, as it would take seconds."""
_LISTS = ("strategy", "book")
_HEADER = re.compile(r"[ \t]*\[")
_BLANK = re.compile(r"[ \t]*\n")
_COMMENT = re.compile(r"[ \t]*(#.*)?\n")

Path = tuple[str, ...]


@dataclass(slots=True)
class _Block:
    """A table's lines up to its last value, and the blank lines and comments behind them.

    `head` is the header's name, () for what stands before the first header; `several` if it is
    one of a list, with the tables below it.
    """

    head: Path
    several: bool
    text: str
    gap: str


def rewritten(text: str, portfolio: Portfolio) -> str | None:
    """Return a portfolio's text changed so that it says `portfolio`, None where that is impossible.

    What is returned has been read again and says `portfolio`, in the same order.
    """
    if len(text) > LENGTH_MAX:
        return None
    from tomlkit.exceptions import TOMLKitError

    try:
        now, then = plain(parse_portfolio(text, "the file before")), plain(portfolio)
        wanted = msgspec.json.encode(then)
        blocks = _blocks(text if text.endswith("\n") else f"{text}\n")
        for name in _LISTS:
            _change_list(blocks, name, now.pop(name, []), then.pop(name, []))
        _change_rest(blocks, list(_differences(now, then)))
        changed = "".join(block.text + block.gap for block in blocks)
        after = plain(parse_portfolio(changed, "the file after"))
    except (ConfigError, TOMLKitError, LookupError, RecursionError, TypeError, ValueError):
        return None
    # As text, because the order of members and shares counts.
    return changed if msgspec.json.encode(after) == wanted else None


def _blocks(text: str) -> list[_Block]:
    parts = [""]
    for line in re.findall(r".*\n", text):
        # A line of a list or text that goes on leaves what stands before it unfinished.
        if _HEADER.match(line) and _is_whole(parts[-1]):
            parts.append(line)
        else:
            parts[-1] += line
    blocks = [_block((), False, parts[0])]
    for part in parts[1:]:
        head, several = _head(part.partition("\n")[0])
        last = blocks[-1]
        if last.several and len(head) > 1 and head[:1] == last.head:
            blocks[-1] = _block(last.head, True, last.text + last.gap + part)
        else:
            blocks.append(_block(head, several, part))
    return blocks


def _is_whole(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _head(line: str) -> tuple[Path, bool]:
    """Return the name in a table's header, and whether it is one of a list."""
    names, inner = [], tomllib.loads(line)
    while inner:
        [(name, inner)] = inner.items()
        names.append(name)
        if isinstance(inner, list):
            return tuple(names), True
    return tuple(names), False


def _block(head: Path, several: bool, text: str) -> _Block:
    lines = re.findall(r".*\n", text)
    n = len(lines)
    while n > (1 if head else 0) and _COMMENT.fullmatch(lines[n - 1]):
        n -= 1
    while not _is_whole("".join(lines[:n])):  # the end of a text looked like a comment
        n += 1
    return _Block(head, several, "".join(lines[:n]), "".join(lines[n:]))


def _change_list(blocks: list[_Block], name: str, now: Sequence[Any], then: Sequence[Any]) -> None:
    """Make a list of named tables that of `then`.

    Raises:
        LookupError: the file does not write it as one header a table.
    """
    own = [block for block in blocks if block.several and block.head == (name,)]
    if now == then:
        return
    if len(own) != len(now):
        raise LookupError(name)
    wanted = {table["name"]: table for table in then}
    for block, table in zip(own, now, strict=True):
        kept = wanted.pop(table["name"], None)
        if kept is None:
            _remove(blocks, block)
        elif kept != table:
            block.text = _changed_table(block.text, name, _differences(table, kept))
    for table in wanted.values():
        _insert(blocks, name, toml_text({name: [table]}))


def _remove(blocks: list[_Block], block: _Block) -> None:
    at = next(n for n, other in enumerate(blocks) if other is block)
    before = blocks[at - 1]
    one_blank = before.gap.endswith("\n\n") or before.gap == "\n"
    before.gap += block.gap.removeprefix("\n") if one_blank else block.gap
    del blocks[at]


def _insert(blocks: list[_Block], name: str, text: str) -> None:
    """Put a table behind the last one of its list, else at the end."""
    own = [n for n, block in enumerate(blocks) if block.several and block.head == (name,)]
    at = own[-1] if own else len(blocks) - 1
    before, is_last = blocks[at], at == len(blocks) - 1
    lines = re.findall(r".*\n", before.gap)
    # Comments right below a table are its own, those right above a header the header's.
    blank = next((n for n, line in enumerate(lines) if _BLANK.fullmatch(line)), None)
    n_own = blank if blank is not None else len(lines) if is_last else 0
    behind = "".join(lines[n_own:])
    if not is_last and blank is None:
        behind = f"\n{behind}"
    before.gap = "".join(lines[:n_own]) + "\n"
    blocks.insert(at + 1, _Block((name,), True, text, behind))


def _differences(now: Any, then: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield what is set or, None, taken away: TOML knows no None."""
    for key in {**now, **then}:
        before, after = now.get(key), then.get(key)
        if before == after:
            continue
        if isinstance(after if before is None else before, Mapping) and isinstance(
            before if after is None else after, Mapping
        ):
            yield from _differences(before or {}, after or {}, (*path, key))
        else:
            yield (*path, key), after


def _changed_table(text: str, name: str, differences: Iterator[tuple[Path, Any]]) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    root: Any = document[name]
    for path, value in differences:
        holder = _at(root[0], path[:-1])
        if value is None:
            del holder[path[-1]]
        elif holder is None:
            root[0][path[0]] = _nested(path[1:], value)
        else:
            holder[path[-1]] = value
    return tomlkit.dumps(document)


def _change_rest(blocks: list[_Block], differences: list[tuple[Path, Any]]) -> None:
    """Make changes in the tables that are no lists; new ones follow at the end."""
    if not differences:
        return
    import tomlkit

    places: list[tuple[_Block, Any]] = [
        (block, tomlkit.parse(block.text)) for block in blocks if not block.several
    ]
    new: dict[Path, dict[str, Any]] = {}
    for path, value in differences:
        n, holder = _holder(places, path)
        if value is None:
            del holder[path[-1]]
        elif n == len(path) - 1:
            holder[path[-1]] = value
        elif isinstance(holder, tomlkit.items.InlineTable):
            holder[path[n]] = _nested(path[n + 1 :], value)
        else:
            new.setdefault(path[:-1], {})[path[-1]] = value
    for block, document in places:
        block.text = tomlkit.dumps(document)
    for head, table in new.items():
        blocks[-1].gap += "" if blocks[-1].gap.endswith("\n\n") else "\n"
        blocks.append(_Block(head, False, section_text(head, table), ""))


def _holder(places: list[tuple[_Block, Any]], path: Path) -> tuple[int, Any]:
    """Return the innermost table of the file around a key, and how many names lead to it."""
    for n in range(len(path) - 1, -1, -1):
        for block, document in places:
            inside = n >= len(block.head) and block.head == path[: len(block.head)]
            if inside and (found := _at(document, path[:n])) is not None:
                return n, found
    raise LookupError(path)


def _at(root: Any, path: Path) -> Any:
    for name in path:
        root = root.get(name) if isinstance(root, MutableMapping) else None
    return root


def _nested(path: Path, value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value
