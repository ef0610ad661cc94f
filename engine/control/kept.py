"""What is remembered of clients, so many entries a user: one's flood forgets nobody else's."""

from collections import OrderedDict
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

USERS_MAX: Final = 256


class KeptByUser(Generic[K, V]):
    """A table a user (uid), each in the order of its writing; not for several threads at once.

    Of more than `USERS_MAX` users the one that wrote longest ago is forgotten whole.
    """

    def __init__(self) -> None:
        self._tables: OrderedDict[int, OrderedDict[K, V]] = OrderedDict()

    def of(self, uid: int) -> OrderedDict[K, V]:
        """Return a user's table, to be read and written; its owner bounds it."""
        table = self._tables.setdefault(uid, OrderedDict())
        self._tables.move_to_end(uid)
        if len(self._tables) > USERS_MAX:
            self._tables.popitem(last=False)
        return table

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))
