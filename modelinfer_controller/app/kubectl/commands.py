"""The verbs as commands; each imports what it needs when it runs, so that --help and completion cost nothing."""

from typing import Any

import click

from modelinfer_controller.app.kubectl.options import Verb, name_argument, output_option, place_of, place_options, run


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


VERBS: tuple[click.Command, ...] = (tree,)


def add_verbs(group: click.Group) -> None:
    for verb in VERBS:
        group.add_command(verb)
