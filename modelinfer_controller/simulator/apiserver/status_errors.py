"""What the API answers when it refuses: the Status object, in Kubernetes' words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelinfer_controller.simulator.apiserver.kinds import Kind
from modelinfer_controller.simulator.objects import Object


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault in an object. field is a path such as spec.roles[0].name, reason one of FieldValue*."""

    field: str
    reason: str
    message: str

    @classmethod
    def invalid(cls, field: str, value: Any, detail: str) -> "Cause":
        return cls(field, "FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}")

    @classmethod
    def required(cls, field: str, detail: str = "") -> "Cause":
        return cls(field, "FieldValueRequired", f"Required value{': ' + detail if detail else ''}")

    @classmethod
    def forbidden(cls, field: str, detail: str) -> "Cause":
        return cls(field, "FieldValueForbidden", f"Forbidden: {detail}")

    @classmethod
    def duplicate(cls, field: str, value: Any) -> "Cause":
        return cls(field, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")

    @classmethod
    def not_supported(cls, field: str, value: Any, supported: Sequence[Any]) -> "Cause":
        values = ", ".join(shown(one) for one in supported)
        return cls(field, "FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {values}")


def shown(value: Any) -> str:
    """A value as error messages show it: strings quoted, objects by their type."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value.replace('"', '\\"') + '"'
        case None:
            return "null"
        case dict():
            return '"object"'
        case list():
            return '"array"'
        case _:
            return str(value)


class StatusError(Exception):
    """A request that is answered with a Status of status Failure."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> Object:
        body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body |= {"message": self.message, "reason": self.reason}
        if self.details:
            body["details"] = self.details
        return {**body, "code": self.code}

    @property
    def retry_after(self) -> int | None:
        """Whole seconds for the Retry-After header, or None."""
        seconds: int | None = self.details.get("retryAfterSeconds")
        return seconds


def _details(kind: Kind, name: str, by_kind: bool = False) -> Object:
    details: Object = {"name": name} if name else {}
    if kind.group:
        details["group"] = kind.group
    return {**details, "kind": kind.kind if by_kind else kind.plural}


def not_found(kind: Kind, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{kind.resource} "{name}" not found', _details(kind, name))


def no_such_resource() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(kind: Kind, name: str) -> StatusError:
    return StatusError(409, "AlreadyExists", f'{kind.resource} "{name}" already exists', _details(kind, name))


def generated_name_taken(kind: Kind, name: str) -> StatusError:
    message = (
        f'{kind.resource} "{name}" already exists, the server was not able to generate a unique name for the object'
    )
    return StatusError(409, "AlreadyExists", message, {**_details(kind, name), "retryAfterSeconds": 1})


def conflict(kind: Kind, name: str, why: str) -> StatusError:
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return StatusError(409, "Conflict", message, _details(kind, name))


def modified(kind: Kind, name: str) -> StatusError:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(kind, name, why)


def forbidden(kind: Kind, name: str, why: str, causes: Sequence[Object] = ()) -> StatusError:
    details = _details(kind, name)
    if causes:
        details["causes"] = list(causes)
    return StatusError(403, "Forbidden", f'{kind.resource} "{name}" is forbidden: {why}', details)


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> StatusError:
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(kind, name, by_kind=True)
    details["causes"] = [{"reason": one.reason, "message": one.message, "field": one.field} for one in causes]
    return StatusError(422, "Invalid", f'{kind.qualified_kind} "{name}" is invalid: {listed}', details)


def denied_by_policy(kind: Kind, name: str, policy: str, message: str) -> StatusError:
    """The refusal of a ValidatingAdmissionPolicy that gives no reason of its own: it counts as Invalid."""
    why = f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: {message}"
    details = {**_details(kind, name), "causes": [{"message": why}]}
    return StatusError(422, "Invalid", f'{kind.resource} "{name}" is forbidden: {why}', details)


def failed_webhook(webhook: str, why: str) -> StatusError:
    """The answer where a webhook with failurePolicy Fail gives none."""
    url = f"https://{webhook.partition('.')[0]}.default.svc:443/"
    return internal_error(f'failed calling webhook "{webhook}": failed to call webhook: Post "{url}": {why}')


def too_large_for_etcd() -> StatusError:
    return StatusError(500, "", "etcdserver: request is too large")


def too_large_body(limit: int) -> StatusError:
    message = f"Request entity too large: limit is {limit}"
    return StatusError(413, "RequestEntityTooLarge", message)


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return StatusError(415, "UnsupportedMediaType", message)


def method_not_allowed() -> StatusError:
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message)


def expired(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def too_old(requested: int, oldest: int) -> StatusError:
    return expired(f"too old resource version: {requested} ({oldest})")


def too_large(requested: int, current: int) -> StatusError:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {requested}, current: {current}"
    return StatusError(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})


def too_many_requests(retry_after: int) -> StatusError:
    message = "the server has received too many requests and has asked us to try again later"
    return StatusError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after})


def disruption_budget_reached(budget: str, needed: int, healthy: int) -> StatusError:
    why = f"The disruption budget {budget} needs {needed} healthy pods and has {healthy} currently"
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return StatusError(429, "TooManyRequests", message, {"causes": [{"reason": "DisruptionBudget", "message": why}]})


def internal_error(message: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")
