"""What a kubectl user types is understood, before a cluster is asked."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from modelinfer_controller.exits import Exit
from modelinfer_controller.kubectl.cli import commands, main, options
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.render.output import say


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["kubectl-modelinfer", *arguments])
    with pytest.raises(SystemExit) as ended:
        sys.exit(main.run_plugin())
    return int(ended.value.code or 0)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A verb of its own that notes what it is given."""
    found: dict[str, Any] = {}

    @click.command(cls=options.Verb)
    @options.name_argument()
    @click.option("-w", "--watch/--no-watch", default=True)
    @click.option("--dry-run", type=click.Choice(["none", "client", "server"]), default="none")
    @options.output_option
    @options.cluster_options
    def look(name: str, watch: bool, dry_run: str, output: str | None, **flags: Any) -> None:
        found.update(name=name, watch=watch, dry_run=dry_run, output=output, flags=options.flags_of(flags))

    monkeypatch.setitem(main.plugin.commands, "look", look)
    return found


NAMES = ["qwen", "mi/qwen", "modelinfers/qwen", "ModelInfer.workload.volcano.sh/qwen", "mi qwen", "modelinfer qwen"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_with_or_without_its_type(seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert run(monkeypatch, "look", *name.split()) == 0
    assert seen["name"] == "qwen"


def test_a_model_infer_may_have_the_name_of_its_type(seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "look", "mi") == 0
    assert seen["name"] == "mi"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", "models", "--context=prod", "look", "qwen"],
        ["-n=models", "look", "qwen", "--context", "prod"],
        ["look", "-n=models", "--context=prod", "qwen"],
        ["-n", "wrong", "look", "qwen", "-nmodels", "--context=prod"],
    ],
)
def test_flags_before_the_verb_and_after_it(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]
) -> None:
    assert run(monkeypatch, *arguments) == 0
    assert seen["flags"] == ClusterFlags(namespace="models", context="prod")


def test_every_connection_flag_of_kubectl_is_taken(seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given = (
        *("--as=eve", "--as-group=ops", "--as-uid=7", "--cache-dir=/x", "--certificate-authority=ca"),
        *("--client-certificate=c", "--client-key=k", "--cluster=east", "--context=prod", "--kubeconfig=kc"),
        *("--insecure-skip-tls-verify", "--namespace=models", "--password=p", "--request-timeout=10s"),
        *("--server=http://x", "--tls-server-name=y", "--token=t", "--user=alice", "--username=u", "-v=6"),
    )
    assert run(monkeypatch, "look", "qwen", *given) == 0
    flags = seen["flags"]
    assert (flags.as_user, flags.as_group, flags.request_timeout, flags.verbosity) == ("eve", ("ops",), 10.0, 6)
    assert (flags.server, flags.insecure_skip_tls_verify, flags.user) == ("http://x", True, "alice")


@pytest.mark.parametrize(("text", "expected"), [("--watch=false", False), ("-w=false", False), ("--watch=true", True)])
def test_switches_take_a_value(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
) -> None:
    assert run(monkeypatch, "look", "qwen", text) == 0
    assert seen["watch"] is expected


@pytest.mark.parametrize(("text", "expected"), [("--dry-run", "client"), ("--dry-run=server", "server")])
def test_a_bare_dry_run_does_not_take_the_name_for_its_value(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    assert run(monkeypatch, "look", text, "qwen") == 0
    assert (seen["dry_run"], seen["name"]) == (expected, "qwen")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["look", "pod/x"], "no 'pod'"),
        (["look", "mi/"], "name is missing"),
        (["look", "x", "-o", "xml"], "no output format"),
        (["look", "x", "--watch=maybe"], "true or false"),
        (["look"], "Missing argument"),
        (["look", "qwen", "llama"], "unexpected extra argument (llama)"),
        (["look", "pod", "qwen"], "unexpected extra argument (qwen)"),
        (["lok"], "No such command"),
    ],
)
def test_mistakes_are_one_line_and_code_1(
    seen: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    message: str,
) -> None:
    assert run(monkeypatch, *arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["rollout"]])
def test_without_a_verb_the_help_is_shown_as_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: Sequence[str]
) -> None:
    assert run(monkeypatch, *arguments) == 0
    output = capsys.readouterr()
    assert output.out.startswith("Usage: kubectl modelinfer")
    assert len(output.out.splitlines()) > 10
    assert output.err == ""


def _verbs(group: click.Group) -> list[click.Command]:
    return [
        verb
        for command in group.commands.values()
        for verb in (_verbs(command) if isinstance(command, click.Group) else [command])
    ]


@pytest.mark.parametrize("verb", [verb for verb in _verbs(main.plugin) if verb is not commands.list_options])
def test_every_verb_has_examples(verb: click.Command) -> None:
    assert isinstance(verb, options.Verb)
    assert verb.examples
    assert verb.name is not None
    assert all(f" {verb.name}" in command for _, command in verb.examples)


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self) -> None: ...

        def fileno(self) -> int:
            raise AssertionError

    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr("os.dup2", lambda *_: None)
    monkeypatch.setattr(Full, "fileno", lambda self: 1)
    with pytest.raises(Exit, match="cannot write the output: No space left on device"):
        say("x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("arguments", ["", "--help", "--version", "options", "rollout", "tree --help"])
def test_help_on_a_full_disk_is_one_line_too(arguments: str) -> None:
    command = [sys.executable, "-m", "modelinfer_controller.kubectl", *arguments.split()]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the output: No space left on device\n"


def test_a_closed_output_is_no_traceback() -> None:
    """As of `>&-`."""
    command = f"{sys.executable} -m modelinfer_controller.kubectl options >&-"
    done = subprocess.run(["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("group", [(), ("rollout",)])
def test_the_help_of_a_group_has_examples_and_whole_sentences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], group: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *group) == 0
    text = capsys.readouterr().out
    assert "Examples:\n  # " in text
    assert "..." not in text.partition("Commands:")[2]
