"""What is wrong with an option, in one line: where it stands, its key, what is allowed."""

import re
from collections.abc import Callable, Iterable
from typing import get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.model.errors import ConfigError
from engine.model.near import meant, nearest

SECRETS = frozenset({"terminal.password", "terminal.token", "database.url", "alerts.urls"})

_REASONS = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text in quotes",
    "path_type": "must be a path in quotes",
    "tuple_type": "must be a list in brackets, or tables in double ones",
    "string_pattern_mismatch": "must be sha256: and 64 hexadecimal digits",
    "finite_number": "must be a finite number",
}


def explain(
    error: ValidationError, model: type[BaseModel], where: Callable[[str], str]
) -> ConfigError:
    """Return the first mistake as one line, with the number of others.

    Args:
        error: what pydantic found.
        model: the options that were checked.
        where: names the place of a dotted key, such as `config.toml: key "demo.speed"`.
    """
    details = error.errors(include_url=False)
    text = _describe(details[0], model, where)
    if len(details) > 1:
        text += f" (and {len(details) - 1} more)"
    return ConfigError(text)


def unknown(key: str, known: Iterable[str], place: str) -> str:
    """Return the line about a key that does not exist."""
    choices = sorted(known)
    near = nearest(key, choices)
    hint = f"did you mean {near}? " if near else ""
    return f"{place} is unknown; {hint}allowed: {', '.join(choices)}"


def section_keys(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """Return the keys that the table at `path` may have."""
    for name in path:
        if name.isdecimal():  # the number of a table in [[section.table]]
            continue
        annotation = model.model_fields[name].annotation
        if get_origin(annotation) is tuple:
            annotation = get_args(annotation)[0]
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


def _describe(detail: ErrorDetails, model: type[BaseModel], where: Callable[[str], str]) -> str:
    path = tuple(str(part) for part in detail["loc"])
    key, kind = ".".join(path), detail["type"]
    if kind == "extra_forbidden":
        return unknown(path[-1], section_keys(model, path[:-1]), where(key))
    if kind in ("model_type", "model_attributes_type"):
        return f"{where(key)} must be a table with keys {', '.join(section_keys(model, path))}"
    reason = _REASONS.get(kind) or _sentence(detail["msg"])
    given = "" if key in SECRETS else f", not {_short(detail['input'])}"
    if kind == "literal_error" and given:
        given += meant(str(detail["input"]), re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    return f"{where(key)} {reason}{given}"


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ").replace("\n", " ")
    message = message.replace("Input should be", "must be")
    return message[0].lower() + message[1:]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
