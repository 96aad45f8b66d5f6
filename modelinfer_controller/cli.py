"""The command `modelinfer-controller`. What is slow to import is imported by the command that needs it."""

import os
import signal
import sys
from typing import Any

import click

from modelinfer_controller import __version__
from modelinfer_controller.exits import Exit, ExitCode
from modelinfer_controller.kubectl.cli.commands import add_verbs

PROGRAM = "modelinfer-controller"


class SettingsCommand(click.Command):
    """A command with one option for each setting, made when they are first needed."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self.params:
            from modelinfer_controller.app.options import settings_options

            self.params = settings_options()
        return super().get_params(ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Distributed LLM inference on Kubernetes: makes pods and Services of ModelInfer objects."""


@cli.command(cls=SettingsCommand)
def run(config: str | None, **flags: Any) -> None:
    """Run the controller until SIGTERM or SIGINT.

    Each option can also be given in the environment, as MODELINFER_CONTROLLER_MAX_IN_FLIGHT=16, or in a YAML file, as
    `max-in-flight: 16`. Options win over the environment, and that over the file.

    Exit codes: 0 stopped as asked, 1 a fault of the program, 2 a bad setting, 3 no cluster, 4 forbidden, 5 the CRD is
    missing, 6 leadership lost.
    """
    from modelinfer_controller.app.import_trimming import trimmed_imports

    _obey_signals_while_starting()
    with trimmed_imports():
        from modelinfer_controller.app.log import configure_logging
        from modelinfer_controller.app.options import settings_from
        from modelinfer_controller.app.process import run_process

    settings = settings_from(flags, config)
    configure_logging(settings.log_level, settings.log_format)
    run_process(settings, os.environ)


@cli.command(cls=SettingsCommand)
def config(config: str | None, **flags: Any) -> None:
    """Print the settings that `run` would have, as a configuration file."""
    from modelinfer_controller.app.options import settings_from

    click.echo(settings_from(flags, config).as_yaml(), nl=False)


add_verbs(cli)


def main() -> None:
    """The entry point: every failure that people can do something about is one line and an exit code."""
    sys.exit(_run_command())


def _run_command() -> int:
    try:
        code: int | None = cli.main(prog_name=PROGRAM, standalone_mode=False)
        return code or ExitCode.OK
    except Exit as end:
        _say(str(end))
        return end.code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else PROGRAM
        _say(f"{error.format_message()} (see `{command} --help`)")
        return ExitCode.USAGE
    except click.ClickException as error:
        _say(error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT


def _obey_signals_while_starting() -> None:
    """The first process of a container is deaf to SIGTERM until somebody listens."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(ExitCode.OK))


def _say(message: str) -> None:
    click.echo(f"{PROGRAM}: {' '.join(message.split())}", err=True)
