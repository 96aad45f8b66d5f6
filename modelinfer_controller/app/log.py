"""Logging: structlog to stderr, JSON or readable, libraries' own logs included, secrets never."""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.transport import TransportError

REDACTED = "[redacted]"
_SECRET_KEY = re.compile(r"token|password|passwd|secret|authorization|credential|private.?key|api.?key", re.IGNORECASE)
# Of what libraries put into messages: bearer tokens, basic credentials, and what looks like a JSON web token.
_SECRET_TEXT = re.compile(
    r"(?P<scheme>\b(?:Bearer|Basic)\s+)[\w\-.~+/=]{8,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|(?P<url>://)[^/\s:@]+:[^/\s@]+@"
)


def configure_logging(level: str, format_: Literal["json", "console"], stream: TextIO = sys.stderr) -> None:
    """For the whole process, once."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                describe_expected_errors,
                structlog.processors.format_exc_info,
                redact_secrets,
                _renderer(format_, stream),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _renderer(format_: Literal["json", "console"], stream: TextIO) -> Processor:
    if format_ == "json":
        return structlog.processors.JSONRenderer(default=str)
    # The plain formatter: structlog's default prints the values of local variables, tokens among them.
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=40
    )


def describe_expected_errors(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The cluster's own errors as one line: where in our code they came up helps nobody."""
    error = event.get("exc_info")
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException) and (leaves := list(_leaves(error))) and all(map(_is_expected, leaves)):
        del event["exc_info"]
        event["error"] = "; ".join(dict.fromkeys(f"{type(leaf).__name__}: {leaf}" for leaf in leaves))
    return event


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _is_expected(error: BaseException) -> bool:
    return isinstance(error, ApiError | TransportError)


def redact_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: str, value: Any) -> Any:
    match value:
        case str() if _SECRET_KEY.search(key):
            return REDACTED
        case str():
            return redact_text(value)
        case Mapping():
            return {inner: _redacted(str(inner), each) for inner, each in value.items()}
        case list() | tuple():
            return [_redacted(key, each) for each in value]
        case BaseException():
            return redact_text(repr(value))
        case _:
            return value


def redact_text(text: str) -> str:
    return _SECRET_TEXT.sub(lambda m: f"{m['scheme'] or m['url'] or ''}{REDACTED}{'@' if m['url'] else ''}", text)
