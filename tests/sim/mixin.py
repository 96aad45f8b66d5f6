"""What a mixin of rules may use of the state machine of `histories`."""

from typing import Any

from sim.world import World


class Mixin:
    """theme: what the history is about. _do lets a coroutine happen, _act a call, _edit a change of the spec.

    _is_let_through awaits a request and says whether admission had nothing against it.
    """

    theme: str
    _do: Any
    _act: Any
    _edit: Any
    _is_let_through: Any
    _rollout: Any

    @property
    def world(self) -> World:
        raise NotImplementedError
