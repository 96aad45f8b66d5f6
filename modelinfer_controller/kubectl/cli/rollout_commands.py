"""The commands of `rollout`."""

from collections.abc import Callable
from typing import Any

import click

from modelinfer_controller.kubectl.cli.options import (
    SETTINGS,
    Duration,
    F,
    Verb,
    Verbs,
    cluster_options,
    complete_revisions,
    connection_options,
    flags_of,
    name_argument,
    output_option,
    run,
)


@click.group(
    cls=Verbs,
    context_settings=SETTINGS,
    params=connection_options(),
    examples=[
        ("Wait for the rollout; fail when it is stuck", "kubectl modelinfer rollout status qwen"),
        ("Back to the revision before", "kubectl modelinfer rollout undo qwen"),
    ],
)
def rollout(**flags: Any) -> None:
    """Follow a rollout, look at its history, and change its course."""


dry_run_option = click.option(
    "--dry-run",
    type=click.Choice(["none", "client", "server"]),
    default="none",
    help="client: send nothing; server: have the server check it and store nothing. With -o yaml it prints the change.",
)


def revision_option(name: str, text: str) -> Callable[[F], F]:
    return click.option(name, type=int, metavar="N", shell_complete=complete_revisions, help=text)


@rollout.command(
    cls=Verb,
    examples=[
        ("Wait for the rollout; fail when it is stuck", "kubectl modelinfer rollout status qwen"),
        ("Look once, for a machine", "kubectl modelinfer rollout status mi/qwen --watch=false -o json"),
        ("In a pipeline", "kubectl modelinfer rollout status qwen --timeout 15m --stuck-after 2m"),
    ],
)
@name_argument()
@click.option("-w", "--watch/--no-watch", default=True, help="Wait until it is done, or look once.  [default: wait]")
@click.option("--timeout", type=Duration(), help="Fail when it takes longer, such as 15m. [default: no limit]")
@click.option("--stuck-after", type=Duration(), default="30s", show_default=True, help="How long a cause that does "
              "not pass by itself may stay without progress.")  # fmt: skip
@revision_option("--revision", "Fail where another revision is rolled out.")
@output_option
@cluster_options
def status(
    name: str,
    watch: bool,
    timeout: float | None,
    stuck_after: float,
    revision: int | None,
    output: str | None,
    **flags: Any,
) -> int:
    """Wait for the rollout of NAME, and fail when it is stuck."""
    from modelinfer_controller.kubectl.verbs.rollout_status import Waiting, show_status

    waiting = Waiting(watch, timeout or None, stuck_after, revision)
    return run(show_status(flags_of(flags), name, waiting, output))


@rollout.command(
    cls=Verb,
    examples=[
        ("All revisions, and what each changed", "kubectl modelinfer rollout history qwen"),
        ("One of them in full", "kubectl modelinfer rollout history qwen --revision=2"),
    ],
)
@name_argument()
@revision_option("--revision", "Show this revision in full.")
@output_option
@cluster_options
def history(name: str, revision: int | None, output: str | None, **flags: Any) -> None:
    """List the revisions of NAME, and what each differs in from the one before."""
    from modelinfer_controller.kubectl.verbs.rollout_history import show_history

    run(show_history(flags_of(flags), name, revision, output))


@rollout.command(cls=Verb, examples=[("With revision 2", "kubectl modelinfer rollout diff qwen --revision=2")])
@name_argument()
@revision_option("--revision", "The revision to compare with. [default: the one before]")
@output_option
@cluster_options
def diff(name: str, revision: int | None, output: str | None, **flags: Any) -> None:
    """Show what differs between an earlier revision of NAME and the current one."""
    from modelinfer_controller.kubectl.verbs.rollout_history import show_diff

    run(show_diff(flags_of(flags), name, revision, output))


def _change(
    verb: str, name: str, output: str | None, dry_run: str, flags: Any, number: int | None = None, plan: bool = False
) -> int:
    from modelinfer_controller.kubectl.verbs.rollout_change import Asked, change_rollout, plan_change

    asked = Asked(verb, name, number, dry_run)
    if plan:
        return run(plan_change(flags_of(flags), asked, output))
    run(change_rollout(flags_of(flags), asked, output))
    return 0


plan_option = click.option("--plan", is_flag=True, help="Say what it would do, as `plan` does, and do nothing.")


@rollout.command(
    cls=Verb,
    examples=[
        ("What going back would cost", "kubectl modelinfer rollout undo qwen --plan"),
        ("Back to the revision before", "kubectl modelinfer rollout undo qwen"),
        (
            "The change, for a repository",
            "kubectl modelinfer rollout undo qwen --dry-run=client -o yaml",
        ),
    ],
)
@name_argument()
@revision_option("--to-revision", "The revision to go back to. [default: the one before]")
@plan_option
@dry_run_option
@output_option
@cluster_options
def undo(name: str, to_revision: int | None, plan: bool, dry_run: str, output: str | None, **flags: Any) -> int:
    """Go back to an earlier revision of NAME."""
    return _change("undo", name, output, dry_run, flags, to_revision or None, plan)


@rollout.command(cls=Verb, examples=[("Hold the rollout", "kubectl modelinfer rollout pause qwen")])
@name_argument()
@dry_run_option
@output_option
@cluster_options
def pause(name: str, dry_run: str, output: str | None, **flags: Any) -> int:
    """Replace no more groups of NAME until `resume`."""
    return _change("pause", name, output, dry_run, flags)


@rollout.command(cls=Verb, examples=[("Go on", "kubectl modelinfer rollout resume qwen")])
@name_argument()
@dry_run_option
@output_option
@cluster_options
def resume(name: str, dry_run: str, output: str | None, **flags: Any) -> int:
    """Go on with the rollout of NAME."""
    return _change("resume", name, output, dry_run, flags)


@rollout.command(cls=Verb, examples=[("What it would cost", "kubectl modelinfer rollout restart qwen --plan")])
@name_argument()
@plan_option
@dry_run_option
@output_option
@cluster_options
def restart(name: str, plan: bool, dry_run: str, output: str | None, **flags: Any) -> int:
    """Replace every group of NAME, by the rules of a rollout."""
    return _change("restart", name, output, dry_run, flags, plan=plan)
