"""The verbs as commands; each imports what it needs when it runs, so that --help and completion cost nothing."""

from typing import Any

import click

from modelinfer_controller.kubectl.cli.options import (
    Verb,
    cluster_options,
    flags_of,
    name_argument,
    output_option,
    run,
)
from modelinfer_controller.kubectl.cli.rollout_commands import rollout


@click.command(cls=Verb)
@name_argument()
@click.option("-w", "--watch", is_flag=True, help="Redraw in place at every change.")
@output_option
@cluster_options
def tree(name: str, watch: bool, output: str | None, **flags: Any) -> None:
    """Show groups, roles, instances and pods of the ModelInfer NAME."""
    from modelinfer_controller.kubectl.verbs.tree import show_tree, watch_tree

    if watch and output:
        raise click.UsageError("--watch draws, and cannot go with --output")
    run(watch_tree(flags_of(flags), name) if watch else show_tree(flags_of(flags), name, output))


@click.command(cls=Verb)
@name_argument()
@click.option("-g", "--group", type=click.IntRange(min=0), metavar="N", help="Tell about this group alone.")
@output_option
@cluster_options
def explain(name: str, group: int | None, output: str | None, **flags: Any) -> None:
    """Say why groups of the ModelInfer NAME are not available, and what happens next."""
    from modelinfer_controller.kubectl.verbs.explain import show_explanation

    run(show_explanation(flags_of(flags), name, group, output))


@click.command(cls=Verb)
@name_argument(required=False)
@click.option("-f", "--filename", metavar="FILE", help="A manifest with the change; - is stdin.")
@output_option
@cluster_options
def plan(name: str | None, filename: str | None, output: str | None, **flags: Any) -> int:
    """Say what the controller would do to the ModelInfer NAME now, or after the change in FILE.

    Exit codes: 0 nothing restarts, 2 something does, 1 it cannot tell.
    """
    from modelinfer_controller.kubectl.verbs.plan import show_plan

    return run(show_plan(flags_of(flags), name, filename, output))


@click.command(cls=Verb)
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


VERBS: tuple[click.Command, ...] = (tree, explain, plan, rollout, simulate)


def add_verbs(group: click.Group) -> None:
    for verb in VERBS:
        group.add_command(verb)
