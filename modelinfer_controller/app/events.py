"""What users read in Kubernetes Events: about the ModelInfer, whatever object it happened to."""

import structlog

from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.events import EventRecorder, EventType, reference_to

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class RecordedEvents:
    """Implements `announce.EventSink`; each is in the log, too."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def record(self, stored: ModelInfer, type_: str, reason: str, message: str) -> None:
        log.info("Event", type=type_, reason=reason, message=message)
        self._recorder.record(reference_to(stored, MODEL_INFERS), EventType(type_), reason, message)
