"""Personal tokens of a desk that shares one login: `NAME sha256:…` a line, in a file of mode 600.

A token is 32 random bytes, so that its plain hash gives nothing away. The token itself is shown
once, when it is made, and kept nowhere.
"""

import hashlib
import hmac
import os
import re
import secrets
import tempfile
from pathlib import Path

from engine.control.messages import ROLES, Role
from engine.files.trust import closed_directory
from engine.model.errors import ConfigError, UserError
from engine.settings.secrets import read_secret
from engine.settings.settings import Settings


def roles_by_uid(settings: Settings) -> dict[int, Role]:
    """Return the roles of users other than the engine's own, which is admin.

    Raises:
        ConfigError: a user is not known here, or has two roles.
    """
    roles: dict[int, Role] = {}
    for role in ROLES:
        key = f"control.{role}s"
        for name in _names(getattr(settings.control, f"{role}s")):
            uid = _uid_of(name, settings.where(key))
            if roles.get(uid, role) != role:
                raise ConfigError(f"{settings.where(key)}: {name} has role {roles[uid]} too")
            roles[uid] = role
            if closed := closed_directory(settings.run_path, uid):
                raise ConfigError(
                    f"{settings.where(key)}: {name} may not pass {closed} to the control socket: "
                    "set run_dir to a directory that others may pass, such as /run/pmpro"
                )
    return roles


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def _uid_of(name: str, where: str) -> int:
    import pwd  # not on Windows, where the socket is not served either

    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ConfigError(f"{where}: there is no user {name!r} on this box") from None


TOKEN_BYTES = 32
_LINE = re.compile(r"([\w.@-]{1,64}) sha256:([0-9a-f]{64})")


class Tokens:
    """The file, read anew at each look: who was removed is out at once."""

    def __init__(self, path: Path, option: str) -> None:
        self._path = path
        self._option = option

    def hashes(self) -> dict[str, str]:
        """Return every person's hash; none where the file is not there yet.

        Raises:
            ConfigError: it can be read by others, or holds something else.
        """
        if not self._path.exists():
            return {}
        text = read_secret(self._path, self._option).get_secret_value()
        hashes = {}
        for number, line in enumerate(text.splitlines(), 1):
            found = _LINE.fullmatch(line.strip())
            if found is None:
                raise ConfigError(
                    f"{self._option}: {self._path} line {number} is not a name and a hash: "
                    "write the file with `pmpro token`"
                )
            hashes[found[1]] = found[2]
        return hashes

    def person(self, token: str) -> str | None:
        """Return whose token this is, None for nobody's."""
        asked = _hash(token)
        owners = [n for n, known in self.hashes().items() if hmac.compare_digest(known, asked)]
        return owners[0] if owners else None

    def add(self, name: str) -> str:
        """Make a person's token and return it; the former one is void.

        Raises:
            UserError: the name cannot stand in the file.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        if _LINE.fullmatch(f"{name} sha256:{_hash(token)}") is None:
            raise UserError(f"{name!r}: a name has letters, digits and . @ - _ only, at most 64")
        self._write(self.hashes() | {name: _hash(token)})
        return token

    def remove(self, name: str) -> None:
        """Make a person's token void.

        Raises:
            UserError: there is none.
        """
        hashes = self.hashes()
        if name not in hashes:
            raise UserError(f"{self._path} has no token of {name!r}: `pmpro token list` shows all")
        del hashes[name]
        self._write(hashes)

    def _write(self, hashes: dict[str, str]) -> None:
        lines = [f"{name} sha256:{value}\n" for name, value in sorted(hashes.items())]
        try:
            if not lines:
                self._path.unlink()
                return
            descriptor, draft = tempfile.mkstemp(dir=self._path.parent)  # of mode 600
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(self._path)
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror}") from None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
