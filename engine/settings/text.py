"""The commented configuration file that holds every option: `config.example.toml`, `pmpro init`."""

import json
from pathlib import Path
from typing import get_args

from pydantic.fields import FieldInfo

from engine.settings.options import Options, Section
from engine.settings.sources import OTHER_VARIABLES

_HEAD = f"""\
# Portfolio Manager Pro: every option with its default value.
# An option that is commented out has no default value.
# Environment variables override this file: PMPRO_MODE sets mode, PMPRO_TERMINAL__LOGIN sets login
# in [terminal] (PMPRO_, the section, two underscores, the key).
# Other environment variables: {", ".join(OTHER_VARIABLES)}.
# Never write secrets into this file. Set them in the environment, or name files with mode 600 that
# you own.

"""


def example_text() -> str:
    """Return the file's text, made from the options themselves."""
    lines = [_HEAD]
    for name, field in Options.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            lines.append(f"\n# {_first_line(section)}\n[{name}]\n")
            lines += [_entry(*item) for item in section.model_fields.items()]
            lines += [
                _table(f"{name}.{key}", table)
                for key, inner in section.model_fields.items()
                if (table := table_of(inner)) is not None
            ]
        else:
            lines.append(_entry(name, field))
    return "".join(lines)


def table_of(field: FieldInfo) -> type[Section] | None:
    """Return the section that an option holds any number of, as [[section.option]]."""
    kind = next(iter(get_args(field.annotation)), None)
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _table(name: str, table: type[Section]) -> str:
    """Return an example of a repeated table, commented out."""
    lines = [f"\n# {_first_line(table)}\n# [[{name}]]\n"]
    for key, field in table.model_fields.items():
        example = field.examples[0] if field.examples else field.default
        lines.append(f"# {key} = {_literal(example)}  # {field.description}\n")
    return "".join(lines)


def _first_line(section: type[Section]) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]


def _entry(name: str, field: FieldInfo) -> str:
    if table_of(field) is not None:
        return ""
    if field.default is not None:
        return f"# {field.description}\n{name} = {_literal(field.default)}\n"
    if field.examples:
        return f"# {field.description}\n# {name} = {_literal(field.examples[0])}\n"
    # A secret has no example: it must not be written into this file.
    return f"# {name}: {field.description}\n"


def _literal(value: object) -> str:
    return json.dumps(value.as_posix() if isinstance(value, Path) else value)
