"""The command line: quick help, and one line with an exit code for whatever cannot be done."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modelinfer_controller import cli

HEAVY = {"aiohttp", "kubernetes", "pydantic", "prometheus_client", "msgspec", "yaml", "rich", "structlog"}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["modelinfer-controller", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom modelinfer_controller import cli\n"
        "sys.argv = ['modelinfer-controller', '--help']\n"
        "try:\n  cli.main()\nexcept SystemExit as ended:\n  assert not ended.code\n"
        "print(*sorted(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Run the controller" in done.stdout
    assert HEAVY & set(done.stdout.splitlines()[-1].split()) == set()


def test_run_starts_without_what_it_does_not_use() -> None:
    program = (
        "import sys\nfrom modelinfer_controller import cli\n"
        "sys.argv = ['modelinfer-controller', 'run', '--kubeconfig=/nowhere']\n"
        "try:\n  cli.main()\nexcept SystemExit as ended:\n  assert ended.code == 3\n"
        "print(*sorted(sys.modules))\nimport rich, kubernetes.client"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert {"kubernetes.aio.config", "aiohttp.client", "structlog"} <= imported
    assert imported & {"kubernetes.client", "requests", "rich.console", "websocket"} == set()


def test_the_help_of_run_names_every_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from modelinfer_controller.app.settings import KEYS

    assert run(monkeypatch, "run", "--help") == 0
    said = capsys.readouterr().out
    assert [key for key in (*KEYS, "config") if f"--{key}" not in said] == []


def test_config_prints_what_run_would_use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MODELINFER_CONTROLLER_MAX_IN_FLIGHT", "16")
    assert run(monkeypatch, "config", "--namespace=a", "--namespace=b", "--leader-elect", "--workers=9") == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["namespace"] == ["a", "b"]
    assert (shown["leader-elect"], shown["workers"], shown["max-in-flight"]) == (True, 9, 16)
    assert shown["leader-elect-lease-duration"] == "15s"


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["run", "--wrkers=3"], 2, "No such option '--wrkers'. Did you mean '--workers'?"),
        (["run", "--workers=0"], 2, "--workers: input should be greater than or equal to 1"),
        (["run", "--config=/nowhere.yaml"], 2, "cannot read the configuration file /nowhere.yaml"),
        (["rnu"], 2, "No such command 'rnu'"),
        (["run", "--kubeconfig=/nowhere"], 3, "no cluster: there is no kubeconfig at /nowhere"),
        (["run", "--leader-elect", "--kubeconfig={kubeconfig}"], 2, "needs --leader-elect-namespace"),
        (["run", "--kubeconfig={kubeconfig}", "--context=other"], 3, "no context 'other'; there are: here"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_an_exit_code(
    arguments: list[str], code: int, expected: str, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:9"}}],
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                "users": [{"name": "me", "user": {}}],
                "current-context": "here",
            }
        )
    )
    given = [argument.format(kubeconfig=kubeconfig) for argument in arguments]
    command = [sys.executable, "-c", "from modelinfer_controller.cli import main; main()", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]  # what is no log
    assert done.returncode == code, done.stderr
    assert len(lines) == 1, done.stderr
    assert expected in lines[0]
    assert done.stdout == ""
