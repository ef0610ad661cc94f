"""Who may do what on the control socket: login names of the configuration as roles by uid."""

from engine.control.messages import ROLES, Role
from engine.model.errors import ConfigError
from engine.model.trust import closed_directory
from engine.runtime.settings import Settings


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
