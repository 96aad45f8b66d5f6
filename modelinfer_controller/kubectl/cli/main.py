"""The command `kubectl-modelinfer`, which kubectl runs as `kubectl modelinfer`."""

import errno
import gc
import os
import signal
import sys

import click

from modelinfer_controller import __version__
from modelinfer_controller.exits import Exit, ExitCode
from modelinfer_controller.kubectl.cli.commands import add_verbs
from modelinfer_controller.kubectl.cli.options import SETTINGS, Verbs, connection_options, drop_output

PROGRAM = "kubectl modelinfer"
FEW_COLLECTIONS = 100_000  # new objects before the next one: a verb that looks once makes hardly any garbage


EXAMPLES = [
    ("What is wrong in the whole cluster, the worst first", "kubectl modelinfer status -A"),
    ("Why groups are down, since when, and what happens next", "kubectl modelinfer explain qwen"),
    ("What a change would cost", "kubectl modelinfer plan -f new.yaml"),
]


@click.group(cls=Verbs, context_settings=SETTINGS, params=connection_options(), examples=EXAMPLES)
@click.version_option(__version__, prog_name=PROGRAM)
def plugin(**flags: object) -> None:
    """ModelInfers: what is wrong, why, and what happens next."""


add_verbs(plugin)


def main() -> None:
    """The entry point of the process."""
    gc.set_threshold(FEW_COLLECTIONS)
    if sys.stdout is None:  # closed by the shell: `>&-`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 # until the process ends
    code = run_plugin()
    gc.freeze()  # else the interpreter searches everything for cycles once more before it ends, for a tenth of a second
    sys.exit(code)


def run_plugin() -> int:
    """The exit code. Every failure is one line on stderr, and exit code 1."""
    try:
        code: int | None = plugin.main(prog_name=PROGRAM, standalone_mode=False)
        return code or ExitCode.OK
    except Exit as end:
        return _fail(str(end), end.code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else PROGRAM
        return _fail(f"{error.format_message()} (see `{command} --help`)", ExitCode.FAILURE)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except click.Abort:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `| head` has seen enough
        drop_output()
        return ExitCode.OK
    except OSError as error:  # of help and completion, which click itself writes
        drop_output()
        return _fail(f"cannot write the output: {os.strerror(error.errno or errno.EIO)}", ExitCode.FAILURE)


def _fail(message: str, code: int) -> int:
    from modelinfer_controller.kubectl.render.text import visible

    click.echo(f"error: {visible(' '.join(message.split()))}", err=True)
    return code
