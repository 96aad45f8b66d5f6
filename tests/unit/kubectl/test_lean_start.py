"""A verb that looks once loads no library that it does not use: those cost more time than reading a thousand pods."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from serving import served
from situations import SITUATIONS
from test_agreement import COMMANDS

HEAVY = ("aiohttp", "cryptography", "kubernetes", "prometheus_client", "rich", "structlog")
PROGRAM = """
import json, sys
from modelinfer_controller.kubectl.cli import main
try:
    main.main()
except SystemExit:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_verb_that_looks_once_loads_nothing_heavy(verb: str) -> None:
    with served(SITUATIONS["rollout-hangs"]()) as url:
        command = [sys.executable, "-c", PROGRAM, *COMMANDS[verb], f"--server={url}", "--namespace=models"]
        done = subprocess.run(command, env={"KUBECONFIG": "/dev/null"}, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stderr.splitlines()[-1])
    assert "modelinfer_controller" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_help_loads_neither_the_planner_nor_the_models() -> None:
    program = PROGRAM.replace('partition(".")[0]', "strip()")
    done = subprocess.run([sys.executable, "-c", program, "tree", "--help"], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stderr.splitlines()[-1])
    assert [name for name in ("pydantic", "yaml", "modelinfer_controller.planning") if name in loaded] == []


def test_the_end_of_a_verb_searches_for_no_garbage() -> None:
    """The interpreter's last search costs more time than reading a thousand pods."""
    program = """
import gc
from modelinfer_controller.kubectl.cli import main
try:
    main.main()
except SystemExit:
    print(gc.get_freeze_count())
"""
    done = subprocess.run([sys.executable, "-c", program, "options"], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) > 1000
