"""The verbs as commands; each imports what it needs when it runs, so that --help and completion cost nothing."""

from typing import Any

import click

from modelinfer_controller.kubectl.cli.options import (
    F,
    Verb,
    cluster_options,
    complete_groups,
    connection_options,
    flags_of,
    group_option,
    name_argument,
    names_argument,
    output_option,
    run,
)
from modelinfer_controller.kubectl.cli.rollout_commands import rollout


@click.command(
    cls=Verb,
    examples=[
        ("Groups, roles, instances and pods", "kubectl modelinfer tree qwen"),
        ("Follow every change", "kubectl modelinfer tree mi/qwen --watch"),
        ("Only what is not well", "kubectl modelinfer tree qwen --unhealthy"),
    ],
)
@name_argument()
@click.option("-w", "--watch", is_flag=True, help="Redraw at every change; arrow keys scroll, q ends.")
@click.option("--all", "whole", is_flag=True, help="Fold nothing.")
@click.option("--unhealthy", is_flag=True, help="Only groups that are not at rest.")
@click.option("-g", "--group", "groups", type=click.IntRange(min=0), multiple=True, metavar="N",
              shell_complete=complete_groups, help="Only this group; may be repeated.")  # fmt: skip
@output_option
@cluster_options
def tree(
    name: str,
    watch: bool,
    whole: bool,
    unhealthy: bool,
    groups: tuple[int, ...],
    output: str | None,
    **flags: Any,
) -> None:
    """Show groups, roles, instances and pods of the ModelInfer NAME.

    On a terminal, what is at rest is folded until everything fits.
    """
    from modelinfer_controller.kubectl.verbs.tree import View, show_tree, watch_tree

    if watch and output not in (None, "wide"):
        raise click.UsageError("--watch draws, and cannot go with --output")
    view = View(whole, unhealthy, groups)
    run(watch_tree(flags_of(flags), name, view) if watch else show_tree(flags_of(flags), name, view, output))


@click.command(
    cls=Verb,
    examples=[
        ("Why groups are not available, and what happens next", "kubectl modelinfer explain qwen"),
        ("Of one group", "kubectl modelinfer explain qwen --group 2"),
        ("The reasons alone", "kubectl modelinfer explain qwen -o jsonpath='{.groups[*].reason}'"),
    ],
)
@name_argument()
@group_option("Tell about this group alone.")
@output_option
@cluster_options
def explain(name: str, group: int | None, output: str | None, **flags: Any) -> None:
    """Say why groups of the ModelInfer NAME are not available, and what happens next."""
    from modelinfer_controller.kubectl.verbs.explain import show_explanation

    run(show_explanation(flags_of(flags), name, group, output))


@click.command(
    cls=Verb,
    examples=[
        ("What the controller does now", "kubectl modelinfer plan qwen"),
        ("What a changed manifest would do", "kubectl modelinfer plan -f new.yaml"),
        ("What another image would do", "kubectl modelinfer plan qwen --image vllm/vllm-openai:v0.11.0"),
        ("Ask before a restart in a pipeline", "kubectl modelinfer plan -k overlays/prod || test $? -eq 2 && approve"),
    ],
)
@name_argument(required=False)
@click.option("-f", "--filename", multiple=True, metavar="FILE",
              help="A manifest with the change: a file, a directory, a URL, or - for stdin.")  # fmt: skip
@click.option("-k", "--kustomize", metavar="DIR", help="A kustomization with the change.")
@click.option("--image", multiple=True, metavar="[CONTAINER=]IMAGE", help="Another image, in place of a manifest.")
@output_option
@cluster_options
def plan(
    name: str | None,
    filename: tuple[str, ...],
    kustomize: str | None,
    image: tuple[str, ...],
    output: str | None,
    **flags: Any,
) -> int:
    """Say what the controller would do to the ModelInfer NAME now, or after a change.

    Exit codes: 0 nothing restarts, 2 something does, 1 it cannot tell, or it would not come to an end.
    """
    from modelinfer_controller.kubectl.verbs.plan import Proposal, show_plan

    return run(show_plan(flags_of(flags), Proposal(name, filename, kustomize, image), output))


@click.command(
    cls=Verb,
    examples=[
        ("Play a manifest and then a change of it", "kubectl modelinfer simulate -f v1.yaml -f v2.yaml"),
        ("With a failure and a picture",
         "kubectl modelinfer simulate -f v1.yaml --start 90s±30s --fail group=3@2m --plot out.svg"),
    ],
)  # fmt: skip
@click.option(
    "-f", "--filename", multiple=True, required=True, metavar="FILE", help="A manifest; the next ones change it."
)
@click.option("--nodes", type=click.IntRange(min=0), default=10, show_default=True, help="How many nodes there are.")
@click.option("--start", default="90s", show_default=True, metavar="DURATION", help="How long a pod takes to be ready: "
              "90s, or 90s±30s.")  # fmt: skip
@click.option("--fail", multiple=True, metavar="group=N@DURATION", help="A pod of group N fails so long after the last "
              "manifest was applied.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed takes the same course.")
@click.option("--plot", metavar="FILE.svg", help="Draw groups over time.")
@output_option
def simulate(
    filename: tuple[str, ...],
    nodes: int,
    start: str,
    fail: tuple[str, ...],
    seed: int,
    plot: str | None,
    output: str | None,
) -> int:
    """Play manifests in a simulated cluster, in virtual time, with the real controller."""
    from modelinfer_controller.kubectl.model.access import quiet
    from modelinfer_controller.kubectl.verbs.simulate import show_simulation

    quiet()
    return show_simulation(filename, nodes, start, fail, seed, plot, output)


def _fleet_options(command: F) -> F:
    for option in (
        click.option("-l", "--selector", default="", help="A label selector, such as tier=prod."),
        click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces."),
        names_argument(),
    ):
        command = option(command)
    return command


def _show_fleet(
    names: tuple[str, ...],
    selector: str,
    all_namespaces: bool,
    output: str | None,
    watch: bool,
    flags: Any,
    with_sums: bool = False,
) -> None:
    from modelinfer_controller.kubectl.verbs.fleet import Chosen, show_fleet, watch_fleet

    chosen = Chosen(names, selector, all_namespaces)
    if not watch:
        return run(show_fleet(flags_of(flags), chosen, output))
    if output not in (None, "wide"):
        raise click.UsageError("--watch draws, and cannot go with --output")
    return run(watch_fleet(flags_of(flags), chosen, with_sums=with_sums))


@click.command(
    cls=Verb,
    examples=[
        ("Every ModelInfer of the cluster, the worst first", "kubectl modelinfer status -A"),
        ("Two of them, followed", "kubectl modelinfer status qwen llama -w"),
        ("By label, for a machine", "kubectl modelinfer status -l tier=prod -o json"),
    ],
)
@_fleet_options
@click.option("-w", "--watch", is_flag=True, help="Redraw at every change; arrow keys scroll, q ends.")
@output_option
@cluster_options
def status(
    names: tuple[str, ...], selector: str, all_namespaces: bool, watch: bool, output: str | None, **flags: Any
) -> None:
    """Show ModelInfers, the worst first: ready groups, reason, since when, rollout, and what comes next."""
    _show_fleet(names, selector, all_namespaces, output, watch, flags)


@click.command(
    name="list", cls=Verb, examples=[("Every ModelInfer of the cluster", "kubectl modelinfer list --all-namespaces")]
)
@_fleet_options
@click.option("-w", "--watch", is_flag=True, help="Redraw at every change; arrow keys scroll, q ends.")
@output_option
@cluster_options
def list_(
    names: tuple[str, ...], selector: str, all_namespaces: bool, watch: bool, output: str | None, **flags: Any
) -> None:
    """The same as `status`."""
    _show_fleet(names, selector, all_namespaces, output, watch, flags)


@click.command(cls=Verb, examples=[("The whole cluster, live", "kubectl modelinfer top -A")])
@_fleet_options
@cluster_options
def top(names: tuple[str, ...], selector: str, all_namespaces: bool, **flags: Any) -> None:
    """Follow the fleet: its sums, and every ModelInfer, the worst first."""
    _show_fleet(names, selector, all_namespaces, None, True, flags, with_sums=True)


@click.command(name="options")
def list_options() -> None:
    """List the connection flags, which every verb takes, before it or after it."""
    formatter = click.HelpFormatter(max_width=110)
    context = click.get_current_context()
    rows = []
    for option in connection_options():
        option.hidden = False
        if (record := option.get_help_record(context)) is not None:
            rows.append(record)
    formatter.write("These flags go with every verb, before it or after it:\n\n")
    formatter.write_dl(rows)
    click.echo(formatter.getvalue().rstrip())


VERBS: tuple[click.Command, ...] = (status, list_, top, tree, explain, plan, rollout, simulate, list_options)


def add_verbs(group: click.Group) -> None:
    for verb in VERBS:
        group.add_command(verb)
