"""The image's build steps, carried out as far as that goes without a builder, and what comes of them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dockerfile import Instruction, carry_out, parse
from images.controller import SIZE_LIMIT

ROOT = Path(__file__).parents[3]
NOBODY = 65532


@pytest.fixture(scope="module")
def stages() -> list[list[Instruction]]:
    return parse(ROOT / "Dockerfile")


@pytest.fixture(scope="module")
def app(stages: list[list[Instruction]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/app as the build stage makes it."""
    root = tmp_path_factory.mktemp("image")
    for folder in (root, root.parent, root.parent.parent):
        folder.chmod(0o755)  # for whoever runs it
    python = Path(sys.base_prefix) / "bin" / "python3"
    carry_out(stages[1], ROOT, root, python)
    return root / "app"


def run(app: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As the image's entry point, with nothing in the environment, and where we may, as nobody."""
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 and _is_open(app) else {}
    return subprocess.run(
        [str(app / "bin" / "python"), "-m", "modelinfer_controller", *arguments],
        cwd="/",
        env={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
        **identity,
    )


def _is_open(app: Path) -> bool:
    """Whether everybody may enter the folders on the way: of the files, and of the Python that they start."""
    ways = [*app.parents, *(app / "bin" / "python").resolve().parents]
    return all(way.stat().st_mode & 0o005 == 0o005 for way in ways)


def test_it_has_what_the_controller_needs_and_no_tool_to_build_with(app: Path) -> None:
    names = {path.name.partition("-")[0].lower() for path in app.glob("lib/python*/site-packages/*.dist-info")}
    assert names >= {"aiohttp", "kubernetes", "msgspec", "prometheus_client", "pydantic", "structlog"}
    assert not names & {"pip", "setuptools", "wheel", "hatchling", "pytest", "mypy", "hypothesis"}
    assert not (app / "bin" / "pip").exists()


def test_it_has_less_than_100_mb(app: Path) -> None:
    assert sum(path.lstat().st_size for path in app.rglob("*") if path.is_file()) < SIZE_LIMIT


def test_it_says_its_version_and_its_settings(app: Path) -> None:
    assert run(app, "--version").stdout.startswith("modelinfer-controller, version ")
    shown = yaml.safe_load(run(app, "config", "--leader-elect").stdout)
    assert shown["leader-elect"] is True


def test_without_a_cluster_it_ends_in_one_line(app: Path) -> None:
    done = run(app, "run", "--kubeconfig=/nowhere")
    assert done.returncode == 3, done.stderr
    assert "no cluster" in done.stderr.splitlines()[-1]


def test_it_is_compiled_and_writes_nothing(app: Path) -> None:
    (package,) = app.glob("lib/python*/site-packages/modelinfer_controller")
    modules = list(package.rglob("*.py"))
    assert modules
    assert len(list(package.rglob("*.pyc"))) == len(modules)
    before = sorted(app.rglob("*"))
    run(app, "config")
    assert sorted(app.rglob("*")) == before


def test_help_is_quick(app: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run(app, "--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 0.3


def test_the_last_stage_is_small_safe_and_starts_the_controller(stages: list[list[Instruction]]) -> None:
    last = {instruction.keyword: instruction for instruction in stages[-1]}
    assert "RUN" not in last  # nothing is fetched or built in it
    assert last["USER"].rest == f"{NOBODY}:{NOBODY}"
    assert last["ENTRYPOINT"].exec_form() == ["/app/bin/python", "-m", "modelinfer_controller"]
    assert last["CMD"].exec_form() == ["run"]
    assert "--from=build" in last["COPY"].rest


def test_everything_is_pinned(stages: list[list[Instruction]]) -> None:
    (base,) = (instruction.rest for instruction in stages[0] if instruction.keyword == "ARG")
    assert base.startswith("BASE=python:3.")
    assert base.count(".") == 2  # a patch version
    assert [stage[0].rest.split()[0] for stage in stages[1:]] == ["${BASE}", "${BASE}"]
    assert any("--require-hashes" in instruction.rest for instruction in stages[1])
    locked, whole = ((ROOT / name).read_text() for name in ("requirements-image.lock", "requirements.lock"))
    pins = {line.split()[0] for line in locked.splitlines() if "==" in line}
    assert pins <= {line.split()[0] for line in whole.splitlines() if "==" in line}
