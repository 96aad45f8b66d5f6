"""The verbs as commands; each imports what it needs when it runs, so that --help and completion cost nothing."""

from typing import Any

import click

from modelinfer_controller.app.kubectl.options import Verb, name_argument, output_option, place_of, place_options, run
from modelinfer_controller.app.kubectl.rollout_commands import rollout


@click.command(cls=Verb)
@name_argument()
@click.option("-w", "--watch", is_flag=True, help="Redraw in place at every change.")
@output_option
@place_options
def tree(name: str, watch: bool, output: str | None, **place: Any) -> None:
    """Show groups, roles, instances and pods of the ModelInfer NAME."""
    from modelinfer_controller.app.kubectl.tree_verb import show_tree, watch_tree

    if watch and output:
        raise click.UsageError("--watch draws, and cannot go with --output")
    run(watch_tree(place_of(place), name) if watch else show_tree(place_of(place), name, output))


@click.command(cls=Verb)
@name_argument()
@click.option("-g", "--group", type=click.IntRange(min=0), metavar="N", help="Tell about this group alone.")
@output_option
@place_options
def explain(name: str, group: int | None, output: str | None, **place: Any) -> None:
    """Say why groups of the ModelInfer NAME are not available, and what happens next."""
    from modelinfer_controller.app.kubectl.explain_verb import show_explanation

    run(show_explanation(place_of(place), name, group, output))


@click.command(cls=Verb)
@name_argument(required=False)
@click.option("-f", "--filename", metavar="FILE", help="A manifest with the change; - is stdin.")
@output_option
@place_options
def plan(name: str | None, filename: str | None, output: str | None, **place: Any) -> int:
    """Say what the controller would do to the ModelInfer NAME now, or after the change in FILE.

    Exit codes: 0 nothing restarts, 2 something does, 1 it cannot tell.
    """
    from modelinfer_controller.app.kubectl.plan_verb import show_plan

    return run(show_plan(place_of(place), name, filename, output))


VERBS: tuple[click.Command, ...] = (tree, explain, plan, rollout)


def add_verbs(group: click.Group) -> None:
    for verb in VERBS:
        group.add_command(verb)
