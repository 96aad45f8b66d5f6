"""Options that verbs share, and what a kubectl user types: TYPE/NAME, --watch=false, flags before the verb."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from modelinfer_controller.exits import Exit, ExitCode

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

TYPES = {"mi", "modelinfer", "modelinfers", "modelinfer.workload.volcano.sh", "modelinfers.workload.volcano.sh"}
OUTPUTS = ("json", "yaml", "name", "wide")
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Verb(click.Command):
    """A command whose usage errors have exit code 1 too: 2 is an answer of `plan`. examples: (what for, command)."""

    def __init__(self, *args: Any, examples: Iterable[tuple[str, str]] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = tuple(examples)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        given = list(self._as_click_has_them(args))
        if extra.get("resilient_parsing"):
            given = self._without_a_dangling_option(given)
        try:
            return super().make_context(info_name, given, parent, **extra)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx is not None else info_name
            raise Exit(ExitCode.FAILURE, f"{error.format_message()} (see `{path} --help`)") from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(self.examples, formatter)
        super().format_options(ctx, formatter)
        formatter.write("\n  `kubectl modelinfer options` lists the connection flags, which every verb takes.\n")

    def _without_a_dangling_option(self, args: list[str]) -> list[str]:
        """The shell completes the value of the last option: click would give up on the name before it."""
        options = [one for one in self.params if isinstance(one, click.Option) and not (one.is_flag or one.count)]
        takes_value = {name for option in options for name in option.opts}
        return args[:-1] if args[-1:] and args[-1] in takes_value else args

    def _as_click_has_them(self, args: Iterable[str]) -> Iterator[str]:
        """-n=models is -n models to kubectl, --watch=false is --no-watch, and a bare --dry-run takes no next word."""
        flags = {name: option for option in self.params if isinstance(option, click.Option) for name in option.opts}
        rest = iter(args)
        for arg in rest:
            if arg == "--":
                yield from (arg, *rest)
                return
            name, _, value = arg.partition("=")
            option = flags.get(name)
            if option is not None and option.is_flag and "=" in arg:
                yield from _switched(option, name, value)
            elif arg in flags and arg in OPTIONAL_VALUES:
                yield f"{arg}={OPTIONAL_VALUES[arg]}"
            elif short := _SHORT.fullmatch(arg):
                yield from (short[1], short[2])
            else:
                yield arg


def _switched(option: click.Option, name: str, value: str) -> Iterator[str]:
    if value.lower() not in ("true", "false", "1", "0"):
        raise click.UsageError(f"{name}={value}: it is true or false")
    if value.lower() in ("true", "1"):
        yield name
    elif option.secondary_opts:
        yield option.secondary_opts[0]


OPTIONAL_VALUES = {"--dry-run": "client"}  # options that kubectl takes without a value too
_SHORT = re.compile(r"(-[A-Za-z])=(.*)", re.DOTALL)


def _write_examples(examples: Iterable[tuple[str, str]], formatter: click.HelpFormatter) -> None:
    if examples:
        with formatter.section("Examples"):
            for purpose, command in examples:
                formatter.write(f"  # {purpose}\n  {command}\n")


WHOLE = 200  # characters: more than any verb says of itself in one sentence


class Verbs(click.Group):
    """A group of verbs; without one it shows its help, and the connection flags may stand before the verb.

    examples: (what for, command).
    """

    def __init__(self, *args: Any, examples: Iterable[tuple[str, str]] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = tuple(examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(self.examples, formatter)
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each in full, where click would cut what it does."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(WHOLE)) for name, command in commands if command])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit(0)
        return super().parse_args(ctx, args)


class AfterEquals(click.ParamType[str]):
    """The value of -n=models, which click takes for "=models"."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value.removeprefix("=")


# -- names -------------------------------------------------------------------------------------------------------------


class ModelInferName(click.ParamType[str]):
    """NAME, or TYPE/NAME."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, slash, name = value.rpartition("/")
        if slash and kind.lower() not in TYPES:
            self.fail(f"{value!r}: this plugin knows ModelInfers (mi/NAME) and no {kind!r}", param, ctx)
        if not name:
            self.fail("a ModelInfer's name is missing", param, ctx)
        return name


def complete_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of ModelInfers for the shell; nothing where the cluster does not answer."""
    from modelinfer_controller.kubectl.cli.candidates import model_infer_names

    if parameter.name == "name" and context.params.get("name"):
        return []  # there is one already
    kind, slash, word = incomplete.rpartition("/")
    return [f"{kind}{slash}{name}" for name in model_infer_names(_flags(context)) if name.startswith(word)]


def complete_namespaces(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from modelinfer_controller.kubectl.cli.candidates import namespace_names

    return [name for name in namespace_names(_flags(context)) if name.startswith(incomplete)]


def complete_revisions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from modelinfer_controller.kubectl.cli.candidates import revision_numbers

    found = revision_numbers(_flags(context), str(context.params.get("name") or ""))
    return [number for number in found if number.startswith(incomplete)]


def complete_groups(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from modelinfer_controller.kubectl.cli.candidates import group_ordinals

    found = group_ordinals(_flags(context), str(context.params.get("name") or ""))
    return [ordinal for ordinal in found if ordinal.startswith(incomplete)]


def _complete_kubeconfig(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from modelinfer_controller.kubectl.model.kubeconfig import names_in_kubeconfig

    try:
        found = names_in_kubeconfig(_flags(context), os.environ, f"{parameter.name}s")
    except Exit:
        return []
    return [name for name in found if name.startswith(incomplete)]


def name_argument(required: bool = True) -> Callable[[F], F]:
    """One name. The function takes it as a string, or None where it is not required."""
    return click.argument(
        "name", type=ModelInferName(), required=required, nargs=-1, metavar="NAME" if required else "[NAME]",
        callback=_only_name, shell_complete=complete_names,
    )  # fmt: skip


def names_argument() -> Callable[[F], F]:
    return click.argument(
        "names", type=ModelInferName(), nargs=-1, metavar="[NAME]...", callback=_names, shell_complete=complete_names
    )


def _names(context: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """`mi qwen llama`, as `kubectl get` takes them, are the names qwen and llama."""
    return words[1:] if len(words) > 1 and words[0].lower() in TYPES else words


def _only_name(context: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> str | None:
    names = _names(context, parameter, words)
    if len(names) > 1 and not context.resilient_parsing:
        raise click.UsageError(f"Got unexpected extra argument ({' '.join(names[1:])})")
    return names[0] if names else None


def group_option(text: str) -> Callable[[F], F]:
    number = click.IntRange(min=0)
    return click.option("-g", "--group", type=number, metavar="N", help=text, shell_complete=complete_groups)


# -- the connection ----------------------------------------------------------------------------------------------------


class Duration(click.ParamType[float]):
    """Seconds, from 15m, 90s or a plain number."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from modelinfer_controller.api.duration import parse_duration

        try:
            return float(value) if str(value).isdecimal() else parse_duration(value).total_seconds()
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ConnectionOption(click.Option):
    """kubectl's, the same before the verb and after it. All but --namespace are listed by `options` alone."""


def connection_options() -> list[click.Option]:
    """Every flag that kubectl takes for the way to the cluster."""
    plain = {
        "--kubeconfig": "The kubeconfig file, instead of $KUBECONFIG.",
        "--context": "The kubeconfig's context to use.",
        "--cluster": "The kubeconfig's cluster to use.",
        "--user": "The kubeconfig's user to use.",
        "--token": "A bearer token.",
        "--username": "A user name for basic authentication.",
        "--password": "A password for basic authentication.",
        "--certificate-authority": "A file with the certificates of the server's authority.",
        "--client-certificate": "A file with a client certificate.",
        "--client-key": "A file with its key.",
        "--tls-server-name": "The name that the server's certificate is checked against.",
        "--as-uid": "The UID to act as.",
        "--cache-dir": "Taken for kubectl's sake: nothing is kept.",
    }
    completes = {"--context", "--cluster", "--user"}
    options: list[click.Option] = [
        ConnectionOption(
            [name], help=text, hidden=True, shell_complete=_complete_kubeconfig if name in completes else None
        )
        for name, text in plain.items()
    ]
    namespace = "The namespace. [default: the context's]"
    return [
        ConnectionOption(
            ["-n", "--namespace"],
            type=AfterEquals(),
            metavar="NAME",
            help=namespace,
            shell_complete=complete_namespaces,
        ),
        *options,
        ConnectionOption(["-s", "--server"], type=AfterEquals(), help="The API server's address.", hidden=True),
        ConnectionOption(["--as", "as_user"], help="The user to act as.", hidden=True),
        ConnectionOption(["--as-group"], multiple=True, help="The group to act as.", hidden=True),
        ConnectionOption(["--request-timeout"], type=Duration(), help="How long one request may take.", hidden=True),
        ConnectionOption(
            ["--insecure-skip-tls-verify"], is_flag=True, help="Trust any certificate of the server.", hidden=True
        ),
        ConnectionOption(["-v", "--v", "verbosity"], type=int, help="From 6 on, log requests to stderr.", hidden=True),
    ]


CONNECTION_NAMES = tuple(option.name for option in connection_options() if option.name is not None)


def cluster_options(command: F) -> F:
    """The connection flags. The function takes them as **flags, for `flags_of`."""
    parameters = getattr(command, "__click_params__", [])
    command.__click_params__ = [*parameters, *reversed(connection_options())]  # type: ignore[attr-defined]
    return command


def flags_of(parameters: Mapping[str, Any]) -> "ClusterFlags":
    """The ClusterFlags that the options name, those before the verb included."""
    context = click.get_current_context(silent=True)
    return _merged([parameters] if context is None else [*_before(context), parameters])


def _flags(context: click.Context) -> "ClusterFlags":
    return _merged([*_before(context), context.params])


def _before(context: click.Context) -> list[Mapping[str, Any]]:
    """What stood before the verb; further left counts less."""
    found: list[Mapping[str, Any]] = []
    parent = context.parent
    while parent is not None:
        found.insert(0, parent.params)
        parent = parent.parent
    return found


def _merged(sources: Iterable[Mapping[str, Any]]) -> "ClusterFlags":
    from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags

    given: dict[str, Any] = {}
    for source in sources:
        given |= {key: value for key, value in source.items() if key in CONNECTION_NAMES and value not in (None, ())}
    given.pop("cache_dir", None)
    return ClusterFlags(**given)


# -- output and the end ------------------------------------------------------------------------------------------------


class Output(click.ParamType[str]):
    """json, yaml, name, wide, or jsonpath=TEMPLATE."""

    name = "format"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in OUTPUTS and not (value.startswith("jsonpath=") and value != "jsonpath="):
            formats = ", ".join((*OUTPUTS, "jsonpath=TEMPLATE"))
            self.fail(f"{value!r} is no output format: there are {formats}", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list["CompletionItem"]:
        from click.shell_completion import CompletionItem

        formats = (*OUTPUTS, "jsonpath=")
        return [CompletionItem(one) for one in formats if one.startswith(incomplete)]


def output_option(command: F) -> F:
    text = "json, yaml, name, wide, or jsonpath=TEMPLATE."
    return click.option("-o", "--output", type=Output(), metavar="FORMAT", help=text)(command)


def run(main: Coroutine[Any, Any, T]) -> T:
    """To its end. Ctrl-C ends with code 130."""
    try:
        return asyncio.run(main)
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:  # `| head` has seen enough
        drop_output()
        raise SystemExit(0) from None


def drop_output() -> None:
    """Nothing that is still buffered is written at the end of the process: there is nowhere for it to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
