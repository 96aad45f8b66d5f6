"""Webhooks and policies that refuse, hang or change what they match, for as long as they are in the admission chain."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from modelinfer_controller.simulator.apiserver.admission import Operation, Review
from modelinfer_controller.simulator.apiserver.status_errors import StatusError, denied_by_policy, failed_webhook
from modelinfer_controller.simulator.objects import Object

CREATE, UPDATE, DELETE = Operation.CREATE, Operation.UPDATE, Operation.DELETE


@dataclass(frozen=True, slots=True)
class Match:
    """Which writes are meant: resource is a plural, name_part a part of the name, user a client; "" matches any.

    subresource "" is the object itself alone. is_matched looks at whatever else there is to look at.
    """

    operations: Collection[Operation]
    resource: str = ""
    name_part: str = ""
    namespace: str = ""
    subresource: str = ""
    user: str = ""
    is_matched: Callable[[Review], bool] = lambda review: True

    def __call__(self, review: Review) -> bool:
        return (
            review.operation in self.operations
            and self.resource in ("", review.kind.plural)
            and self.name_part in review.name
            and self.namespace in ("", review.namespace)
            and self.subresource == review.subresource
            and self.user in ("", review.user)
            and self.is_matched(review)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Deny:
    """A ValidatingAdmissionPolicy that refuses what it matches, in these words."""

    match: Match
    message: str = "not today"
    policy: str = "no-such-thing"

    def delay(self, review: Review) -> float:
        return 0.0

    def admit(self, review: Review) -> Object:
        if self.match(review):
            raise denied_by_policy(review.kind, review.name, self.policy, self.message)
        return review.object


@dataclass(frozen=True, slots=True, eq=False)
class Hang:
    """A webhook that lets what it matches wait for so many seconds, and then is taken for failed."""

    match: Match
    seconds: float = 30.0
    webhook: str = "hangs.example.com"

    def delay(self, review: Review) -> float:
        return self.seconds if self.match(review) else 0.0

    def admit(self, review: Review) -> Object:
        if self.match(review):
            raise failed_webhook(self.webhook, "context deadline exceeded")
        return review.object


@dataclass(frozen=True, slots=True, eq=False)
class Fail:
    """An API server that answers what it matches with an error of its own making."""

    match: Match
    error: StatusError

    def delay(self, review: Review) -> float:
        return 0.0

    def admit(self, review: Review) -> Object:
        if self.match(review):
            raise self.error
        return review.object


@dataclass(frozen=True, slots=True, eq=False)
class StripAnnotations:
    """A mutating webhook that drops every annotation with this prefix from what it matches."""

    match: Match
    prefix: str

    def delay(self, review: Review) -> float:
        return 0.0

    def admit(self, review: Review) -> Object:
        if not self.match(review):
            return review.object
        metadata: Object = review.object.get("metadata") or {}
        annotations: Object = metadata.get("annotations") or {}
        kept = {key: value for key, value in annotations.items() if not key.startswith(self.prefix)}
        return {**review.object, "metadata": {**metadata, "annotations": kept}}
