"""The commands of `rollout`."""

from typing import Any

import click

from modelinfer_controller.kubectl.cli.options import Verb, cluster_options, flags_of, name_argument, output_option, run


@click.group()
def rollout() -> None:
    """Follow a rollout, look at its history, and change its course."""


dry_run_option = click.option("--dry-run", is_flag=True, help="Print the change and do not make it.")


@rollout.command(cls=Verb)
@name_argument()
@click.option("--wait/--no-wait", default=True, help="Wait until it is done (the default), or tell and end.")
@click.option("--timeout", metavar="DURATION", help="Fail when it takes longer, such as 15m. [default: no limit]")
@click.option("--stuck-after", metavar="DURATION", default="30s", show_default=True, help="How long a cause that does "
              "not pass by itself may stay without progress.")  # fmt: skip
@output_option
@cluster_options
def status(name: str, wait: bool, timeout: str | None, stuck_after: str, output: str | None, **flags: Any) -> None:
    """Wait for the rollout of NAME, and fail when it is stuck."""
    from modelinfer_controller.kubectl.verbs.rollout import show_status

    limit = None if timeout is None else _seconds("--timeout", timeout)
    stuck = _seconds("--stuck-after", stuck_after)
    run(show_status(flags_of(flags), name, output, wait=wait, timeout=limit, stuck_after=stuck))


def _seconds(option: str, text: str) -> float:
    from modelinfer_controller.api.duration import parse_duration
    from modelinfer_controller.kubectl.model.access import failure

    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise failure(f"{option}: {error}") from error


@rollout.command(cls=Verb)
@name_argument()
@output_option
@cluster_options
def history(name: str, output: str | None, **flags: Any) -> None:
    """List the revisions of NAME, and what each differs in from the one before."""
    from modelinfer_controller.kubectl.verbs.rollout import show_history

    run(show_history(flags_of(flags), name, output))


@rollout.command(cls=Verb)
@name_argument()
@click.option("--revision", type=int, metavar="N", help="The revision to compare with. [default: the one before]")
@output_option
@cluster_options
def diff(name: str, revision: int | None, output: str | None, **flags: Any) -> None:
    """Show what differs between an earlier revision of NAME and the current one."""
    from modelinfer_controller.kubectl.verbs.rollout import show_diff

    run(show_diff(flags_of(flags), name, revision, output))


def _change(verb: str, name: str, output: str | None, dry_run: bool, flags: Any, number: int | None = None) -> None:
    from modelinfer_controller.kubectl.verbs.rollout import change_rollout

    run(change_rollout(verb, flags_of(flags), name, output, dry_run=dry_run, number=number))


@rollout.command(cls=Verb)
@name_argument()
@click.option("--to-revision", type=int, metavar="N", help="The revision to go back to. [default: the one before]")
@dry_run_option
@output_option
@cluster_options
def undo(name: str, to_revision: int | None, dry_run: bool, output: str | None, **flags: Any) -> None:
    """Go back to an earlier revision of NAME."""
    _change("undo", name, output, dry_run, flags, to_revision)


@rollout.command(cls=Verb)
@name_argument()
@dry_run_option
@output_option
@cluster_options
def pause(name: str, dry_run: bool, output: str | None, **flags: Any) -> None:
    """Replace no more groups of NAME until `resume`: its partition is raised, and kept in an annotation."""
    _change("pause", name, output, dry_run, flags)


@rollout.command(cls=Verb)
@name_argument()
@dry_run_option
@output_option
@cluster_options
def resume(name: str, dry_run: bool, output: str | None, **flags: Any) -> None:
    """Go on with the rollout of NAME, at the partition that it had before `pause`."""
    _change("resume", name, output, dry_run, flags)


@rollout.command(cls=Verb)
@name_argument()
@dry_run_option
@output_option
@cluster_options
def restart(name: str, dry_run: bool, output: str | None, **flags: Any) -> None:
    """Replace every group of NAME, by the rules of a rollout."""
    _change("restart", name, output, dry_run, flags)
