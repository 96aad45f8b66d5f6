"""A pod's identity is read from its name, which nobody can edit; labels that say otherwise are repaired.

source: StatefulSet, whose pods have ordinals in their names (pkg/controller/statefulset)
"""

import re
from typing import NamedTuple

from modelinfer_controller.api import names

POD_NAME_PATTERN = re.compile(r"(\d+)-(.+)-(\d+)-(\d+)")


class PodIdentity(NamedTuple):
    """Which pod of its ModelInfer a pod is. role is the lower-case form; worker_index 0 is the entry pod."""

    group: int
    role: str
    instance: int
    worker_index: int


class InstanceKey(NamedTuple):
    """A role instance within its group; role is the lower-case form.

    >>> str(InstanceKey("decode", 0))
    'decode-0'
    """

    role: str
    instance: int

    def __str__(self) -> str:
        return f"{self.role}-{self.instance}"


def parse_pod_name(owner: str, pod: str) -> PodIdentity | None:
    """The identity that a pod's name says, or None for a name that is not one of the owner's.

    >>> parse_pod_name("llama", "llama-2-decode-0-1")
    PodIdentity(group=2, role='decode', instance=0, worker_index=1)
    >>> parse_pod_name("llama", "llama-02-decode-0-1")
    """
    match = POD_NAME_PATTERN.fullmatch(pod, len(owner) + 1) if pod.startswith(f"{owner}-") else None
    if match is None:
        return None
    identity = PodIdentity(int(match[1]), match[2], int(match[3]), int(match[4]))
    return identity if names.pod_name(owner, *identity) == pod else None  # a name that we would not give
