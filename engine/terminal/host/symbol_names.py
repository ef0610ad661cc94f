"""Our names of symbols and the broker's: `XAUUSD` may be `XAUUSD.r` or `GOLD` there.

What is configured wins: a name of its own, else prefix and suffix. Otherwise the name itself, and
where the terminal has no such symbol to trade, the only one that is our name with something around
it. Where there are several, an operator has to choose.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.model.errors import BrokerError
from engine.model.printable import printable_name

_TRADE_MODE_DISABLED: Final = 0
# Longer additions make another symbol, not another account type's.
_AROUND_MOST: Final = 8
_CURRENCY_LETTERS: Final = 3

Find = Callable[[str], Any | None]
"""Name -> SymbolInfo, None when the terminal has no such symbol."""


class SymbolNames:
    """The names that were looked up, both ways."""

    def __init__(self, named: Mapping[str, str], prefix: str, suffix: str) -> None:
        self._named = named
        self._prefix = prefix
        self._suffix = suffix
        self._theirs: dict[str, str] = {}
        self._ours: dict[str, str] = {}

    def ours(self, theirs: str) -> str:
        """Return our name of a symbol that was looked up, else the broker's; both printable."""
        return self._ours.get(theirs, theirs)

    def look_up(self, name: str, find: Find, listing: Callable[[str], list[Any]]) -> str:
        """Return the broker's name of our symbol; `listing` takes a pattern such as `*EURUSD*`.

        Raises:
            BrokerError: the terminal has none, or several and no way to tell.
        """
        found = self._theirs.get(name)
        if found is None:
            found = self._configured(name, find) or _automatic(name, find, listing)
            if self._ours.setdefault(printable_name(found), name) != name:
                raise BrokerError(
                    f"{name} and {self._ours[printable_name(found)]} would both be {found}"
                )
            self._theirs[name] = found
        return found

    def _configured(self, name: str, find: Find) -> str:
        """Return the configured name that the terminal has; "" when none is configured."""
        if name in self._named:
            if find(self._named[name]) is None:
                raise BrokerError(
                    f"the terminal has no symbol {self._named[name]}, "
                    f"which terminal.symbol_names gives for {name}"
                )
            return self._named[name]
        around = f"{self._prefix}{name}{self._suffix}"
        return around if around != name and find(around) is not None else ""


def _automatic(name: str, find: Find, listing: Callable[[str], list[Any]]) -> str:
    exact = find(name)
    if exact is not None and exact.trade_mode != _TRADE_MODE_DISABLED:
        return name
    near = sorted(info.name for info in listing(f"*{name}*") if _is_the_same(info, name))
    if len(near) == 1:
        return str(near[0])
    if near:
        raise BrokerError(
            f"{name} may be any of {', '.join(near)}: set terminal.symbol_suffix, "
            "terminal.symbol_prefix or terminal.symbol_names"
        )
    if exact is None:
        raise BrokerError(
            f"the terminal has no symbol {name}: give the broker's name for it in "
            "terminal.symbol_names"
        )
    return name


def _is_the_same(info: Any, name: str) -> bool:
    """Whether a symbol is ours with something around its name, and can be traded."""
    before, found, after = str(info.name).partition(name)
    if not found or not before + after or len(before + after) > _AROUND_MOST:
        return False
    if after and name[-1].isdigit() and after[0].isdigit():  # US30 is not US300
        return False
    if info.trade_mode == _TRADE_MODE_DISABLED:
        return False
    if len(name) != 2 * _CURRENCY_LETTERS or not name.isalpha():
        return True
    currencies = info.currency_base + info.currency_profit
    return bool(currencies == name)
