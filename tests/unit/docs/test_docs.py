"""The documentation: links lead somewhere, commands can be given, and lists are complete."""

import itertools
import re
import shlex
from pathlib import Path

import click
import pictures
import pytest
from apidocs.cli import PAGE, rendered
from prometheus_client import CollectorRegistry

from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.app.metrics.histograms import ModelInferHistograms
from modelinfer_controller.app.metrics.scope import HistogramScope
from modelinfer_controller.app.metrics.series import FAMILIES
from modelinfer_controller.app.settings import KEYS, Settings
from modelinfer_controller.cli import cli
from modelinfer_controller.exits import ExitCode
from modelinfer_controller.planning.group_phase import GroupPhase

ROOT = Path(__file__).parents[3]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "manifests").rglob("*.md")),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(?:sh|shell|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(page.read_text())}


def commands(page: Path) -> list[str]:
    blocks = "".join(BLOCK.findall(page.read_text())).replace("\\\n", " ")
    return [line.strip() for line in blocks.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_can_be_given(page: Path) -> None:
    for command in commands(page):
        program, *arguments = shlex.split(command, comments=True)
        if program == "modelinfer-controller":
            _parse(arguments)
        for before, argument in itertools.pairwise(arguments):
            # A name without a folder is a file of the reader's own.
            if program == "kubectl" and before in ("-f", "-k") and "/" in argument:
                assert (ROOT / argument).exists(), f"{page.name}: {command}"
        if "/" in program and not program.startswith("."):
            assert (ROOT / program).exists(), f"{page.name}: {command}"


def _parse(arguments: list[str]) -> None:
    """Raises UsageError for what the command does not know. Nothing is run."""
    context = click.Context(cli, info_name="modelinfer-controller")
    _, command, rest = cli.resolve_command(context, arguments)
    assert command is not None
    command.make_context(command.name, rest, parent=context, resilient_parsing=False)


def test_every_setting_is_explained_with_its_default() -> None:
    text = (ROOT / "docs" / "operate.md").read_text()
    assert [key for key in KEYS if f"`{key}`" not in text] == []
    shown = Settings().model_dump(mode="json", by_alias=True)
    for key in ("workers", "max-in-flight", "shutdown-timeout", "leader-elect-lease-duration"):
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{key}` |"))
        assert row.split("|")[2].strip() == str(shown[key])


def test_every_exit_code_is_explained() -> None:
    text = (ROOT / "docs" / "operate.md").read_text()
    assert [code for code in ExitCode if f"\n| {code.value} | " not in text] == []


def test_every_metric_of_a_model_infer_is_explained() -> None:
    registry = CollectorRegistry()
    ModelInferHistograms(registry, HistogramScope.AGGREGATED)
    names = [*FAMILIES, *(family.name for family in registry.collect())]
    text = (ROOT / "docs" / "operate.md").read_text()
    assert [name for name in names if f"`{name}`" not in text and f"`{name}_total`" not in text] == []


def test_every_state_of_a_group_is_named() -> None:
    text = (ROOT / "docs" / "operate.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| `modelinfer_groups` |"))
    assert [state for state in GroupPhase if state not in row] == []


def test_every_reason_is_explained() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert {reason for reason in Reason if f"`{reason}`" not in text} == set()


def test_the_api_reference_is_up_to_date() -> None:
    assert PAGE.read_text() == rendered(), "run hack/update-api-docs and commit the result"


def test_pictures_are_those_that_the_script_draws() -> None:
    assert {path.stem for path in pictures.FOLDER.glob("*.svg")} == set(pictures.PICTURES)
    for name, draw in pictures.PICTURES.items():
        assert (pictures.FOLDER / f"{name}.svg").read_text() == draw(), "run hack/pictures.py and commit the result"


def test_the_glossary_is_in_order_and_has_the_words_that_pages_rely_on() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    words = [row for row in rows if row not in ("word", "---")]
    assert words == sorted(words, key=str.lower)
    kept = ("incarnation", "condemned", "slow start", "expectations", "ordinal", "partition", "entry pod", "worker")
    assert {*kept, "scope", "revision", "marker", "role instance"} <= set(words)


@pytest.mark.parametrize("component", sorted(path.name for path in (ROOT / "manifests" / "components").iterdir()))
def test_each_component_can_be_uncommented_and_is_described(component: str) -> None:
    kustomization = (ROOT / "manifests" / "default" / "kustomization.yaml").read_text()
    assert re.search(rf"^#   - \.\./components/{component}(\s|$)", kustomization, re.MULTILINE)
    table = (ROOT / "docs" / "install.md").read_text().partition("| component |")[2].partition("\n\n")[0]
    assert f"`{component}`" in table
