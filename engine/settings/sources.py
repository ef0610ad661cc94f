"""Where options come from: the file, the environment, the command line. Each is a nested dict."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from engine.files.places import expanded
from engine.files.text_files import read_toml
from engine.model.errors import ConfigError
from engine.settings.errors import SECRETS, explain, unknown
from engine.settings.options import Options, Section

ENV_PREFIX = "PMPRO_"
# Read elsewhere: kernel cache, tests' market data, default configuration file, personal token.
OTHER_VARIABLES = (
    "PMPRO_CACHE_DIR",
    "PMPRO_CONFIG",
    "PMPRO_DATA_DIR",
    "PMPRO_TOKEN",
    "PMPRO_TRUST",
)

Layer = dict[str, Any]


class _Environment(Options, BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", env_ignore_empty=True
    )


def read_file(path: Path) -> Layer:
    """Return a configuration file's options, each of the right type.

    Raises:
        ConfigError: unreadable, not TOML, an unknown key, a wrong type or a secret.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such file; `pmpro init` writes one")
    layer = read_toml(path)
    for key in SECRETS:
        section, _, name = key.partition(".")
        table = layer.get(section)
        if isinstance(table, dict) and name in table:
            raise ConfigError(
                f'{path}: key "{key}" is a secret and must not stand here: '
                f"use {variable_of(key)} or a file of mode 600 (see config.example.toml)"
            )
    try:
        # JSON is strict about types but takes paths and times from text.
        Options.model_validate_json(json.dumps(layer, default=str), strict=True)
    except ValidationError as error:
        raise explain(error, Options, lambda key: f'{path}: key "{key}"') from None
    return layer


def read_environment() -> Layer:
    """Return the options set by PMPRO_ variables; an unknown variable is an error."""
    known = {variable_of(key): key for key in option_keys()}
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name not in known and name not in OTHER_VARIABLES:
            raise ConfigError(unknown(name, [*known, *OTHER_VARIABLES], f"environment: {name}"))
    return EnvSettingsSource(_Environment)()


def option_keys() -> list[str]:
    """Return every option as a dotted key, in the file's order."""
    keys = []
    for name, field in Options.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys += [f"{name}.{inner}" for inner in section.model_fields]
        else:
            keys.append(name)
    return keys


def variable_of(key: str) -> str:
    """Return the environment variable of a dotted key."""
    return ENV_PREFIX + key.replace(".", "__").upper()


def nested(dotted: Mapping[str, object]) -> Layer:
    """Return dotted keys as nested tables."""
    layer: Layer = {}
    for key, value in dotted.items():
        section, _, name = key.rpartition(".")
        (layer.setdefault(section, {}) if section else layer)[name] = value
    return layer


def absolute_paths(layer: Layer, base: Callable[[], Path]) -> Layer:
    """Return the layer with `~` expanded and relative paths taken from `base`."""
    paths: dict[str, object] = {}
    for key in option_keys():
        section, _, name = key.rpartition(".")
        model = Options.model_fields[section].annotation if section else Options
        field = cast("type[Section]", model).model_fields[name]
        table = layer.get(section, {}) if section else layer
        value = table.get(name) if isinstance(table, dict) else None
        if isinstance(value, str | Path) and Path in (
            field.annotation,
            *get_args(field.annotation),
        ):
            path = expanded(Path(value))
            paths[key] = path if path.is_absolute() else base() / path
    return merge([layer, nested(paths)])


def merge(layers: Sequence[Layer]) -> Layer:
    """Return the options of all layers; a later layer wins, key by key."""
    merged: Layer = {}
    for layer in layers:
        for name, value in layer.items():
            below = merged.get(name)
            if isinstance(below, dict) and isinstance(value, dict):
                value = {**below, **value}
            merged[name] = value
    return merged


def place_of(given: Mapping[str, object], path: Path | None) -> Callable[[str], str]:
    """Return a function that names where an option's value came from."""

    def place(key: str) -> str:
        if key in given:
            return f'command line: "{key}"'
        if os.environ.get(variable_of(key)):
            return f"environment: {variable_of(key)}"
        return f'{path or "settings"}: key "{key}"'

    return place
