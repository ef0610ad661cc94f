"""One of many equal lines in a while: what strangers cause must not fill a log."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

EVERY_S = 60.0
KEYS_MAX = 256


class Seldom:
    """Says of each key whether its line is due, and how many were kept back since the last one.

    At most `keys_max` keys are known at once; of more, the one that was asked for longest ago is
    forgotten. Any thread may ask.
    """

    def __init__(
        self,
        *,
        every_s: float = EVERY_S,
        keys_max: int = KEYS_MAX,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_s = every_s
        self._keys_max = keys_max
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._said: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def due(self, *key: Hashable) -> int | None:
        """Return how many lines were kept back if one is due now; None keeps this one back."""
        now_s = self._monotonic_s()
        with self._lock:
            said_s, kept_back = self._said.pop(key, (now_s - self._every_s, 0))
            is_due = now_s - said_s >= self._every_s
            self._said[key] = (now_s, 0) if is_due else (said_s, kept_back + 1)
            if len(self._said) > self._keys_max:
                self._said.popitem(last=False)
        return kept_back if is_due else None
