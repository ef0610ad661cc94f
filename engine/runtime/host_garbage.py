"""Garbage of a strategy host, collected between its requests: in a batch orders wait for it."""

import gc

# After so many batches it is looked for among what has lived long, too.
OLD_GARBAGE_BATCHES = 60


class Garbage:
    """From now on garbage is collected when it is asked for, and at no other time."""

    def __init__(self) -> None:
        gc.disable()
        self._n_batches = 0

    def collect(self, *, of_a_batch: bool) -> None:
        """Collect what answering a request has left; other requests than batches may take long.

        What lives after those, strategies and all that they import, is not looked through again
        until the next one.
        """
        if of_a_batch:
            self._n_batches += 1
            gc.collect(1 if self._n_batches % OLD_GARBAGE_BATCHES else 2)
            return
        gc.unfreeze()
        gc.collect()
        gc.freeze()
