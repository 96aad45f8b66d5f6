"""Pages that are played: their commands are found, and what differs each time is not compared."""

from pathlib import Path

import pytest
from walkthrough.compare import essence
from walkthrough.page import VARIES, parse_page
from walkthrough.shell import CommandFailed, Shell

ROOT = Path(__file__).parents[3]
TEXT = f"""\
# Title

```sh
not played
```

## First

```console
$ ls
a
b
$ true
```

{VARIES}
```console
$ date
Monday
```
"""


def test_a_page_is_the_same_text_again() -> None:
    assert str(parse_page(TEXT)) == TEXT
    whole = (ROOT / "docs/quickstart.md").read_text()
    assert str(parse_page(whole)) == whole


def test_commands_have_their_outputs_and_headings() -> None:
    steps = parse_page(TEXT).steps
    assert [(step.command, step.output, step.varies) for step in steps] == [
        ("ls", ("a", "b"), False),
        ("true", (), False),
        ("date", ("Monday",), True),
    ]
    assert {step.heading for step in steps} == {"First"}


def test_outputs_are_written_in_their_places() -> None:
    page = parse_page(TEXT).with_outputs(lambda step: (f"of {step.command}",))
    assert str(page) == TEXT.replace("a\nb\n", "of ls\n").replace("$ true\n", "$ true\nof true\n").replace(
        "Monday", "of date"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("quickstart-0-prefill-0-0   1/1  Running  0  9s", "quickstart-1-prefill-0-0  1/1  Running  0  2m3s"),
        ("configmap/quickstart-server created", "configmap/quickstart-server unchanged"),
        (
            "available at revision quickstart-4ca1b97345",
            "available at revision quickstart-0123456789",
        ),
        ('  "created": 1795599045,', '  "created": 1795599999,'),
    ],
)
def test_what_differs_each_time_is_the_same(one: str, other: str) -> None:
    assert essence([one]) == essence([other])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("quickstart-0-prefill-0-0  1/1  Running", "quickstart-0-prefill-0-0  0/1  Running"),
        ('"text": "is lost the group starts again."', '"text": "is lost its instance is recreated."'),
        ("2 of 2 groups available", "1 of 2 groups available"),
    ],
)
def test_what_is_said_is_compared(one: str, other: str) -> None:
    assert essence([one]) != essence([other])


def test_the_shell_keeps_its_variables_and_tells_of_failures(tmp_path: Path) -> None:
    with Shell(tmp_path, {"PATH": "/usr/bin:/bin"}) as shell:
        assert shell.run("X=5; pwd") == (str(tmp_path),)
        assert shell.run("echo $X; echo on stderr >&2") == ("5", "on stderr")
        with pytest.raises(CommandFailed, match="failed with 3: \\(exit 3\\)"):
            shell.run("(exit 3)")
