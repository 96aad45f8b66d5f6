"""The verbs as commands; each imports what it needs when it runs, so that --help and completion cost nothing."""

from typing import Any

import click

from modelinfer_controller.kubectl.cli.options import (
    Duration,
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
@click.option("-w", "--watch", is_flag=True, help="Redraw at every change; arrow keys scroll, q ends.")
@output_option
@cluster_options
def explain(name: str, group: int | None, watch: bool, output: str | None, **flags: Any) -> None:
    """Say why groups of the ModelInfer NAME are not available, and what happens next.

    The last lines of a dead container's log are among it, where they may be read.
    """
    from modelinfer_controller.kubectl.verbs.explain import show_explanation, watch_explanation

    if watch and output not in (None, "wide"):
        raise click.UsageError("--watch draws, and cannot go with --output")
    run(
        watch_explanation(flags_of(flags), name, group)
        if watch
        else show_explanation(flags_of(flags), name, group, output)
    )


@click.command(
    cls=Verb,
    examples=[
        ("What happened, the newest last", "kubectl modelinfer events qwen"),
        ("As a picture", "kubectl modelinfer events qwen --plot qwen.svg"),
    ],
)
@name_argument()
@click.option("--plot", metavar="FILE", help="Draw the timeline into a file instead: .svg, or .png where the "
              "Python library Pillow is installed.")  # fmt: skip
@output_option
@cluster_options
def events(name: str, plot: str | None, output: str | None, **flags: Any) -> None:
    """Show one timeline of NAME, from Events, conditions, revisions and pods."""
    from modelinfer_controller.kubectl.verbs.events import show_events

    run(show_events(flags_of(flags), name, plot, output))


@click.command(
    cls=Verb,
    examples=[
        ("Of one role of one group, followed", "kubectl modelinfer logs qwen --group 2 --role decode -f"),
        ("Of containers that died", "kubectl modelinfer logs qwen --group 2 --previous --tail 20"),
    ],
)
@name_argument()
@group_option("Of this group alone.")
@click.option("--role", metavar="ROLE", help="Of this role alone.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-c", "--container", default="", help="The container; needed where a pod has several.")
@click.option("-p", "--previous", is_flag=True, help="Of the container before the last restart.")
@click.option("--tail", type=int, metavar="N", help="The last lines alone.")
@click.option("--since", type=Duration(), help="Not older than this, such as 10m.")
@click.option("--timestamps", is_flag=True, help="With the time of each line.")
@click.option("--prefix/--no-prefix", default=True, help="[group/role instance/pod] before each line.  [default: on]")
@cluster_options
def logs(
    name: str,
    group: int | None,
    role: str | None,
    follow: bool,
    container: str,
    previous: bool,
    tail: int | None,
    since: float | None,
    timestamps: bool,
    prefix: bool,
    **flags: Any,
) -> int:
    """Print the logs of NAME's pods, each line with its group, role instance and pod."""
    from modelinfer_controller.kubectl.model.logs import LogQuery
    from modelinfer_controller.kubectl.verbs.logs import Wanted, show_logs

    query = LogQuery(container, previous, tail, None if since is None else int(since), timestamps)
    return run(show_logs(flags_of(flags), Wanted(name, group, role, follow, prefix), query))


@click.command(
    cls=Verb, examples=[("Group 2 anew, if the budget allows it", "kubectl modelinfer recreate qwen --group 2")]
)
@name_argument()
@click.option("-g", "--group", type=click.IntRange(min=0), metavar="N", required=True, shell_complete=complete_groups,
              help="The group.")  # fmt: skip
@click.option("--force", is_flag=True, help="Also where fewer groups stay available than maxUnavailable asks for.")
@click.option("--dry-run", type=click.Choice(["none", "client"]), default="none", help="client: only say what it does.")
@output_option
@cluster_options
def recreate(name: str, group: int, force: bool, dry_run: str, output: str | None, **flags: Any) -> None:
    """Delete the pods of one group of NAME; the controller creates them again at their revision."""
    from modelinfer_controller.kubectl.verbs.recreate import recreate as recreate_group

    is_dry_run = dry_run == "client"
    run(recreate_group(flags_of(flags), name, group, output, force=force, is_dry_run=is_dry_run))


@click.command(cls=Verb, examples=[("For a support case", "kubectl modelinfer bundle qwen --file qwen.tar.gz")])
@name_argument()
@click.option("--file", "path", metavar="FILE", help="The archive.  [default: NAME-bundle.tar.gz]")
@cluster_options
def bundle(name: str, path: str | None, **flags: Any) -> None:
    """Collect what a support case of NAME needs; Secrets are not read."""
    from modelinfer_controller.kubectl.verbs.bundle import write_bundle

    run(write_bundle(flags_of(flags), name, path))


@click.command(
    cls=Verb,
    examples=[
        ("What the controller does now", "kubectl modelinfer plan qwen"),
        ("What a changed manifest would do", "kubectl modelinfer plan -f new.yaml"),
        ("What another image would do", "kubectl modelinfer plan qwen --image vllm/vllm-openai:v0.11.0"),
        ("What the drain of a node would cost", "kubectl modelinfer plan qwen --drain gpu-3"),
        ("In a pipeline: exit code 2 where something restarts", "kubectl modelinfer plan -k overlays/prod"),
    ],
)
@name_argument(required=False)
@click.option("-f", "--filename", multiple=True, metavar="FILE",
              help="A manifest with the change: a file, a directory, a URL, or - for stdin.")  # fmt: skip
@click.option("-k", "--kustomize", metavar="DIR", help="A kustomization with the change.")
@click.option("--image", multiple=True, metavar="[CONTAINER=]IMAGE", help="Another image, in place of a manifest.")
@click.option("--drain", metavar="NODE[,NODE]",
              help="These nodes are drained: groups are handed over, or their pods evicted at once.")  # fmt: skip
@output_option
@cluster_options
def plan(
    name: str | None,
    filename: tuple[str, ...],
    kustomize: str | None,
    image: tuple[str, ...],
    drain: str | None,
    output: str | None,
    **flags: Any,
) -> int:
    """Say what the controller would do to the ModelInfer NAME now, or after a change.

    Exit codes: 0 nothing restarts, 2 something does, 1 it cannot tell, or it would not come to an end.
    """
    from modelinfer_controller.kubectl.verbs.plan import Proposal, show_plan

    drained = tuple(node for node in (drain or "").split(",") if node)
    return run(show_plan(flags_of(flags), Proposal(name, filename, kustomize, image, drained), output))


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
@click.option("--node", "capacity", multiple=True, metavar="RESOURCE=QUANTITY,...",
              help="What each node has.  [default: cpu=96,memory=1Ti,pods=110,nvidia.com/gpu=8]")  # fmt: skip
@click.option("--start", default="90s", show_default=True, metavar="DURATION", help="How long a pod takes to be ready: "
              "90s, or 90s±30s.")  # fmt: skip
@click.option("--fail", multiple=True, metavar="group=N@DURATION", help="A pod of group N fails so long after the last "
              "manifest was applied.")  # fmt: skip
@click.option("--drain", multiple=True, metavar="NODE@DURATION", help="A node is drained so long after the last "
              "manifest was applied.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed takes the same course.")
@click.option("--plot", metavar="FILE", help="Draw groups over time: .svg, or .png where the Python library Pillow is "
              "installed.")  # fmt: skip
@output_option
def simulate(
    filename: tuple[str, ...],
    nodes: int,
    capacity: tuple[str, ...],
    start: str,
    fail: tuple[str, ...],
    drain: tuple[str, ...],
    seed: int,
    plot: str | None,
    output: str | None,
) -> int:
    """Play manifests in a simulated cluster, in virtual time, with the real controller."""
    from modelinfer_controller.kubectl.model.access import quiet
    from modelinfer_controller.kubectl.verbs.simulate import show_simulation

    quiet()
    return show_simulation(filename, nodes, capacity, start, fail, drain, seed, plot, output)


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


@click.command(
    cls=Verb,
    examples=[
        ("A page of the whole cluster", "kubectl modelinfer dashboard -A"),
        ("Of one namespace, on a port of your choice", "kubectl modelinfer dashboard -n models --port 8090"),
    ],
)
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N",
              help="The port on 127.0.0.1.  [default: any that is free]")  # fmt: skip
@cluster_options
def dashboard(all_namespaces: bool, port: int, **flags: Any) -> None:
    """Serve a page on this machine: the fleet, live trees, timelines, and plans of manifests. It changes nothing."""
    from modelinfer_controller.kubectl.dashboard.serve import serve_dashboard

    run(serve_dashboard(flags_of(flags), all_namespaces=all_namespaces, port=port))


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


@click.command(
    cls=Verb,
    examples=[
        ("A LeaderWorkerSet as a ModelInfer", "kubectl modelinfer convert -f lws.yaml > modelinfer.yaml"),
        ("A StatefulSet whose pods are ranks of one server", "kubectl modelinfer convert -f sts.yaml --one-group"),
    ],
)
@click.option(
    "-f",
    "--filename",
    multiple=True,
    required=True,
    metavar="FILE",
    help="A manifest, a directory, or - for stdin.",
)
@click.option("--one-group", is_flag=True, help="The pods of a StatefulSet are ranks of one server.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), default="yaml", show_default=True)
def convert(filename: tuple[str, ...], one_group: bool, output: str) -> int:
    """Print LeaderWorkerSets, ModelServings, RoleBasedGroups and StatefulSets as ModelInfers.

    Fields without an equal are named in comments. Documents of other kinds are printed as they are.
    """
    from modelinfer_controller.kubectl.verbs.convert import show_conversion

    return show_conversion(filename, output, one_group=one_group)


VERBS: tuple[click.Command, ...] = (
    status,
    list_,
    top,
    tree,
    explain,
    events,
    logs,
    plan,
    rollout,
    recreate,
    bundle,
    simulate,
    convert,
    dashboard,
    list_options,
)


def add_verbs(group: click.Group) -> None:
    for verb in VERBS:
        group.add_command(verb)
