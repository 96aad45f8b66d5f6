"""Handlers that let go of what is kept in addition to the caches when an object is gone."""

from collections.abc import Callable

from modelinfer_controller.api.core import Pod
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state


class ForgetDeleted:
    """ResourceEventHandler of ModelInfers. forget: each is called with the UID of one that is gone."""

    def __init__(self, *forget: Callable[[str], None]) -> None:
        self._forget = forget

    def on_add(self, obj: ModelInfer, is_in_initial_list: bool) -> None: ...

    def on_update(self, old: ModelInfer, new: ModelInfer) -> None: ...

    def on_delete(self, obj: ModelInfer | DeletedFinalStateUnknown[ModelInfer]) -> None:
        for forget in self._forget:
            forget(last_state(obj).metadata.uid)


class QuotaWatch:
    """ResourceEventHandler of pods. freed: called with the namespace of each that is gone."""

    def __init__(self, freed: Callable[[str], None]) -> None:
        self._freed = freed

    def on_add(self, obj: Pod, is_in_initial_list: bool) -> None: ...

    def on_update(self, old: Pod, new: Pod) -> None: ...

    def on_delete(self, obj: Pod | DeletedFinalStateUnknown[Pod]) -> None:
        self._freed(last_state(obj).metadata.namespace)
