"""The settings as command-line options, made from their one definition."""

import os
from collections.abc import Mapping
from typing import Any

import click
from pydantic.fields import FieldInfo

from modelinfer_controller.app.settings import Settings, SettingsError, kebab, load_settings
from modelinfer_controller.exits import Exit, ExitCode


def settings_options() -> list[click.Parameter]:
    """One option for each setting, none with a default: what was not given is left to the environment and the file."""
    chosen = click.Option(["--config"], metavar="FILE", help="Read settings from a YAML file.")
    return [chosen, *(_option(kebab(name), field) for name, field in Settings.model_fields.items())]


def _option(key: str, field: FieldInfo) -> click.Option:
    is_switch = field.annotation is bool
    return click.Option(
        [f"--{key}/--no-{key}" if is_switch else f"--{key}"],
        metavar=None if is_switch else _metavar(key),
        multiple=isinstance(field.default, tuple),
        default=None,
        help=f"{field.description}{_default_text(field)}",
        envvar=None,
        show_envvar=False,
    )


def _metavar(key: str) -> str:
    return key.rpartition("-")[2].upper()


def _default_text(field: FieldInfo) -> str:
    shown = Settings.model_construct().model_dump(mode="json")
    name = next(name for name, each in Settings.model_fields.items() if each is field)
    return f" [default: {shown[name]}]" if shown[name] not in (None, [], "", False) else ""


def settings_from(flags: Mapping[str, Any], config: str | None) -> Settings:
    """flags: as click passes them, None or () for what was not given. Raises Exit."""
    given = {kebab(name): value for name, value in flags.items() if value is not None and value != ()}
    try:
        return load_settings(given, os.environ, config)
    except SettingsError as error:
        raise Exit(ExitCode.USAGE, str(error)) from error
