"""Keep split escape sequences from acting as keys.

On a slow line the terminal's `ESC [ H` (Home) can arrive in pieces; its last letter then looks
like a typed `H`. After a lone ESC with `[` or `O`, whatever is left of the sequence is dropped
for a second. The parser may swallow the ESC of a piece `ESC [`, so a `[` alone opens a sequence
too: it acts, because it only changes the panel, but what comes right after it does not.
"""

from engine.model.times import NS_PER_S

GUARD_S = 1.0
_OPENS = frozenset({"[", "left_square_bracket", "alt+left_square_bracket"})


class KeyGuard:
    """Tell which keys are rests of a sequence."""

    def __init__(self) -> None:
        self._escape_ns = -NS_PER_S
        self._open_ns = -NS_PER_S
        self._short = False
        self._is_open = False
        self._lone = False

    def drops(self, key: str, character: str | None, now_ns: int) -> bool:
        """Return whether this key is part of a split sequence.

        Args:
            key: Textual's name of the key.
            character: what it types, None for none.
            now_ns: monotonic clock.
        """
        guard_ns = int(GUARD_S * NS_PER_S)
        if key == "escape":
            self._escape_ns, self._is_open = now_ns, False
            return False
        if self._lone and key in _OPENS:
            self._is_open, self._open_ns = True, now_ns
            return False
        if self._is_open and now_ns - self._open_ns <= guard_ns:
            if character is None or len(character) != 1 or not character.isprintable():
                self._is_open = False
                return False
            # A final byte ends a CSI sequence (ECMA-48 5.4); after ESC O one letter follows.
            self._is_open = not (self._short or "@" <= character <= "~")
            return True
        after_escape = now_ns - self._escape_ns <= guard_ns
        self._short = key == "alt+shift+o" or (key == "O" and after_escape)
        self._is_open = self._short or key in _OPENS
        self._lone = key == "left_square_bracket" and not after_escape
        self._open_ns = now_ns
        self._escape_ns = now_ns - guard_ns - 1
        return self._is_open and not self._lone
