"""What an API server answers when it refuses, classified once from the Status it sends."""

from collections.abc import Mapping

import msgspec

from modelinfer_controller.api.core import WireStruct
from modelinfer_controller.kube.transport import TransportError

MAX_MESSAGE_LENGTH = 300  # of a body that is no Status: a proxy's error page

TOO_LARGE_RESOURCE_VERSION = "ResourceVersionTooLarge"  # reason of the cause
TOO_LARGE_RESOURCE_VERSION_MESSAGE = "Too large resource version"  # servers that send the cause without a reason
NAMESPACE_TERMINATING = "NamespaceTerminating"


class StatusCause(WireStruct, frozen=True):
    """Why a request was refused, for one field of it."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(WireStruct, frozen=True):
    """What an error is about, and when to try again."""

    name: str = ""
    kind: str = ""
    causes: tuple[StatusCause, ...] | None = ()
    retry_after_seconds: int = 0


class Status(WireStruct, frozen=True):
    """meta/v1 Status: the body of every refusal, and the object of a watch's ERROR event."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


class ApiError(Exception):
    """The server answered, and refused.

    status is the HTTP status, reason the Status's machine-readable word ("" where there was none), retry_after the
    seconds after which the server wants to be asked again, or None. str() is the server's message, for people.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retry_after: float | None = None,
        causes: tuple[StatusCause, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.causes = causes

    def has_cause(self, reason: str) -> bool:
        return any(cause.reason == reason for cause in self.causes)


class BadRequest(ApiError):
    """400: malformed, or refused by an admission plugin without a better word."""


class Unauthorized(ApiError):
    """401, after the credentials were refreshed once."""


class Forbidden(ApiError):
    """403: by RBAC, by an admission plugin, or by a quota."""

    @property
    def is_quota(self) -> bool:
        """Whether a ResourceQuota is used up: it may pass later, permissions rarely do."""
        return "exceeded quota" in self.message

    @property
    def is_rbac(self) -> bool:
        """Whether the credentials lack a permission, by the words of the server's authorizer."""
        return 'User "' in self.message and " cannot " in self.message

    @property
    def is_namespace_terminating(self) -> bool:
        return self.has_cause(NAMESPACE_TERMINATING)


class NotFound(ApiError):
    """404: the object, or the whole resource, is not there."""


class AlreadyExists(ApiError):
    """409 of a create: an object of that name is there, whoever made it."""


class Conflict(ApiError):
    """409: the resourceVersion or the UID of the precondition is not the stored one."""


class Expired(ApiError):
    """410, as HTTP status or as ERROR event: that resource version or continue token is gone."""


class Invalid(ApiError):
    """422: refused by validation; the causes name the fields."""


class TooManyRequests(ApiError):
    """429: flow control turned the request away before it ran."""


class InternalError(ApiError):
    """500, and every 5xx without a class of its own."""


class ServerTimeout(ApiError):
    """504, or reason ServerTimeout: what became of the request is unknown."""


class TooLargeResourceVersion(ServerTimeout):
    """The server has not yet reached the requested resource version."""


class ServiceUnavailable(ApiError):
    """502 and 503: the server, or what stands before it, is starting or stopping."""


class UndecodableResponse(ApiError):
    """A 2xx whose body is not the JSON that was requested: something other than an API server answered."""


_CLASS_BY_REASON: Mapping[str, type[ApiError]] = {
    "AlreadyExists": AlreadyExists,
    "BadRequest": BadRequest,
    "Conflict": Conflict,
    "Expired": Expired,
    "Forbidden": Forbidden,
    "Gone": Expired,
    "InternalError": InternalError,
    "Invalid": Invalid,
    "NotFound": NotFound,
    "ServerTimeout": ServerTimeout,
    "ServiceUnavailable": ServiceUnavailable,
    "Timeout": ServerTimeout,
    "TooManyRequests": TooManyRequests,
    "Unauthorized": Unauthorized,
}

_CLASS_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
    502: ServiceUnavailable,
    503: ServiceUnavailable,
    504: ServerTimeout,
}

_STATUS_DECODER = msgspec.json.Decoder(Status)


def error_of_response(status: int, body: bytes, headers: Mapping[str, str]) -> ApiError:
    """The error of a response with a status other than 2xx. headers have lower-case names.

    A body that is no Status, such as a proxy's HTML page, is cut to a short message.
    """
    retry_after = _retry_after(headers)
    try:
        decoded = _STATUS_DECODER.decode(body)
    except msgspec.DecodeError:
        decoded = Status()
    if decoded.message or decoded.reason:
        return error_of_status(decoded, status=status, retry_after=retry_after)
    return error_of_status(Status(message=_short_message(status, body)), status=status, retry_after=retry_after)


def error_of_status(decoded: Status, *, status: int = 0, retry_after: float | None = None) -> ApiError:
    """The error that a Status means; status and retry_after are the HTTP response's, where there was one."""
    code = decoded.code or status
    details = decoded.details or StatusDetails()
    causes = details.causes or ()
    return _class_of(code, decoded.reason, causes)(
        code,
        decoded.reason,
        decoded.message or decoded.reason or f"status {code}",
        retry_after=retry_after if retry_after is not None else (details.retry_after_seconds or None),
        causes=causes,
    )


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later with nothing else changed."""
    match error:
        case TransportError() | TooManyRequests():
            return True
        case ApiError(status=status):
            return status >= 500
        case _:
            return False


def _class_of(code: int, reason: str, causes: tuple[StatusCause, ...]) -> type[ApiError]:
    if any(_says_too_large(cause) for cause in causes):
        return TooLargeResourceVersion
    by_status = InternalError if code >= 500 else ApiError
    return _CLASS_BY_REASON.get(reason) or _CLASS_BY_STATUS.get(code) or by_status


def _says_too_large(cause: StatusCause) -> bool:
    return cause.reason == TOO_LARGE_RESOURCE_VERSION or cause.message == TOO_LARGE_RESOURCE_VERSION_MESSAGE


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header; its other form, a date, is not sent by API servers and counts as absent."""
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _short_message(status: int, body: bytes) -> str:
    text = " ".join(body[: 4 * MAX_MESSAGE_LENGTH].decode(errors="replace").split())
    if not text:
        return f"status {status} with an empty body"
    if len(text) > MAX_MESSAGE_LENGTH:
        text = text[:MAX_MESSAGE_LENGTH] + "…"
    return f"status {status}: {text}"
