"""Completion in kubectl's way: kubectl runs `kubectl_complete-modelinfer ARGUMENTS... WORD` and reads what it prints.

One candidate a line, then a line ":N" of directives; 4 says that file names are no candidates.
"""

import sys
from collections.abc import Sequence

import click
from click.shell_completion import ShellComplete

from modelinfer_controller.kubectl.cli.main import PROGRAM, plugin
from modelinfer_controller.kubectl.cli.options import drop_output

NO_FILES, FILES = 4, 0


def main() -> None:
    """The entry point."""
    arguments = sys.argv[1:]
    candidates, directive = candidates_for(plugin, arguments[:-1], arguments[-1] if arguments else "")
    try:
        print("\n".join([*candidates, f":{directive}"]), flush=True)
    except OSError:  # nobody reads it, or the disk is full
        drop_output()


def candidates_for(group: click.Group, before: Sequence[str], word: str) -> tuple[list[str], int]:
    """What may stand in the place of the word, with a tab and a few words of help where there are some."""
    found = ShellComplete(group, {}, PROGRAM, "").get_completions(list(before), word)
    files = any(item.type in ("file", "dir") for item in found) or before[-1:] in (["-f"], ["--filename"])
    plain = [item for item in found if item.type == "plain"]
    return [f"{item.value}\t{item.help}" if item.help else item.value for item in plain], FILES if files else NO_FILES
