"""Options that verbs share, and how they end: in one line, with exit code 1, as kubectl itself does."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

import click

from modelinfer_controller.exits import Exit, ExitCode

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Verb(click.Command):
    """A command whose usage errors have exit code 1 too: 2 is an answer of `plan`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, list(_as_kubectl_has_them(args)), parent, **extra)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx is not None else info_name
            raise Exit(ExitCode.FAILURE, f"{error.format_message()} (see `{path} --help`)") from error


def _as_kubectl_has_them(args: Iterable[str]) -> Iterator[str]:
    """-n=models is -n models to kubectl, and to click the value "=models"."""
    for arg in args:
        short = _SHORT.fullmatch(arg)
        yield from (short[1], short[2]) if short else (arg,)


_SHORT = re.compile(r"(-[A-Za-z])=(.*)", re.DOTALL)


def complete_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of ModelInfers for the shell; nothing where the cluster does not answer."""
    from modelinfer_controller.kubectl.cli.candidates import model_infer_names

    return [name for name in model_infer_names(flags_of(context.params)) if name.startswith(incomplete)]


def complete_namespaces(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from modelinfer_controller.kubectl.cli.candidates import namespace_names

    return [name for name in namespace_names(flags_of(context.params)) if name.startswith(incomplete)]


def name_argument(required: bool = True) -> Callable[[F], F]:
    return click.argument("name", required=required, shell_complete=complete_names)


def cluster_options(command: F) -> F:
    """--namespace, --context and --kubeconfig, as kubectl has them."""
    for option in (
        click.option("--kubeconfig", metavar="FILE", help="The kubeconfig file, instead of $KUBECONFIG."),
        click.option("--context", metavar="NAME", help="The kubeconfig's context to use."),
        click.option("-n", "--namespace", metavar="NAME", help="The namespace.", shell_complete=complete_namespaces),
    ):
        command = option(command)
    return command


def output_option(command: F) -> F:
    return click.option(
        "-o", "--output", type=click.Choice(["json", "yaml"]), help="Print a document for machines instead."
    )(command)


def flags_of(parameters: Any) -> Any:
    """The ClusterFlags that the options name."""
    from modelinfer_controller.kubectl.model.access import ClusterFlags

    return ClusterFlags(parameters.get("kubeconfig"), parameters.get("context"), parameters.get("namespace"))


def run(main: Coroutine[Any, Any, T]) -> T:
    """To its end. Ctrl-C ends with code 130."""
    try:
        return asyncio.run(main)
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
