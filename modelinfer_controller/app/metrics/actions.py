"""What was done to the cluster, by kind and outcome."""

from prometheus_client import Counter

from modelinfer_controller.app.metrics.registry import Metrics
from modelinfer_controller.controller.writes import NameConflict
from modelinfer_controller.kube.errors import ApiError, Forbidden
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.planning.actions import Action


class ActionMetrics:
    """Implements `execute.ActionObserver`. Outcomes are the names of our own error classes, thus few."""

    def __init__(self, metrics: Metrics) -> None:
        self._actions = Counter(
            "modelinfer_actions",
            "Creations, patches and deletions of children, by action and outcome",
            ("action", "outcome"),
            registry=metrics.registry,
        )

    def __call__(self, action: Action, error: Exception | None) -> None:
        self._actions.labels(type(action).__name__, outcome_of(error)).inc()


def outcome_of(error: Exception | None) -> str:
    match error:
        case None:
            return "success"
        case NameConflict():
            return "collision"
        case Forbidden() if error.is_quota:
            return "quota_exceeded"
        case ApiError() | TransportError():
            return type(error).__name__
        case _:
            return "other"
