"""Logs: one JSON object for each line, errors of the cluster in one line, and no secret ever."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from modelinfer_controller.app.log import REDACTED, configure_logging, redact_text
from modelinfer_controller.kube.errors import Forbidden
from modelinfer_controller.kube.transport import TransportError

TOKEN = "eyJhbGciOiJSUzI1NiIs.eyJpc3MiOiJrdWJlcm5ldGVz.c2lnbmF0dXJl"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_have_time_level_logger_event_and_keys(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    with structlog.contextvars.bound_contextvars(reconcile_id="modelinfer-7"):
        structlog.get_logger("ours").info("Deleting pod", pod="mi-0", uid="u")
    structlog.get_logger("ours").debug("too much")
    logging.getLogger("library").warning("said %s", "this")
    ours, library = logged(stream)
    assert (
        ours.items()
        >= {
            "event": "Deleting pod",
            "pod": "mi-0",
            "level": "info",
            "logger": "ours",
            "reconcile_id": "modelinfer-7",
        }.items()
    )
    assert ours["timestamp"].endswith("Z")
    assert (library["event"], library["level"], library["logger"]) == ("said this", "warning", "library")


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 # it is what is logged
        return caught


def test_errors_of_the_cluster_are_one_line_and_faults_of_ours_have_a_traceback(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    log = structlog.get_logger("ours")
    group = ExceptionGroup("two", [Forbidden(403, "Forbidden", "may not"), TransportError("reset")])
    log.error("Reconcile failed", exc_info=raised(group))
    log.error("Reconcile failed", exc_info=raised(ZeroDivisionError("by zero")))
    expected, fault = logged(stream)
    assert expected["error"] == "Forbidden: may not; TransportError: reset"
    assert "exception" not in expected
    assert "Traceback" in fault["exception"]
    assert "ZeroDivisionError: by zero" in fault["exception"]


@pytest.mark.parametrize("format_", ["json", "console"])
def test_no_secret_is_ever_logged(stream: io.StringIO, format_: Any) -> None:
    configure_logging("debug", format_, stream)
    log = structlog.get_logger("ours")

    def fails_with_a_secret_in_a_local_variable() -> None:
        password = f"hunter2-{TOKEN}"
        raise ZeroDivisionError(f"Authorization: Bearer abcdef0123456789 {len(password)}")

    try:
        fails_with_a_secret_in_a_local_variable()
    except ZeroDivisionError:
        log.exception("failed")
    log.info("sent", headers={"Authorization": f"Bearer {TOKEN}"}, token="abc-secret", nested=[{"password": "hunter2"}])
    log.info(f"got {TOKEN} for https://admin:hunter2@10.0.0.1/")
    logging.getLogger("library").error("token %s", TOKEN)
    said = stream.getvalue()
    for secret in (TOKEN, "hunter2", "abc-secret", "abcdef0123456789"):
        assert secret not in said
    assert REDACTED in said
    assert "10.0.0.1" in said


def test_ordinary_text_stays() -> None:
    text = "pods mi-0-decode-0-0 at https://127.0.0.1:6443/api: container main: back-off (Basic check: 3)"
    assert redact_text(text) == text
