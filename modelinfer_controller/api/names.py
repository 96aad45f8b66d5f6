"""Names of the children of a ModelInfer: group `<mi>-<g>`, instance `<role>-<r>`, pod `<mi>-<g>-<role>-<r>-<k>`.

Object names use the role's lower-case form, labels its name as written.
"""

from typing import NamedTuple

MAX_LABEL_LENGTH = 63  # of a DNS label and of a label's value


class ObjectName(NamedTuple):
    """Identity of a namespaced object in one cluster and one kind; the work queue's key and the store's."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def group_name(owner: str, group: int) -> str:
    """Name of the group's PodGroup and value of its group-name label.

    >>> group_name("llama", 2)
    'llama-2'
    """
    return f"{owner}-{group}"


def role_id(role: str, instance: int) -> str:
    """Value of the role-id label: the role instance within its group, with the role's name as written."""
    return f"{role}-{instance}"


def pod_name(owner: str, group: int, role: str, instance: int, index: int) -> str:
    """Pod `index` of a role instance: 0 is the entry pod, 1..workerReplicas are the workers.

    >>> pod_name("llama", 2, "Decode", 0, 1)
    'llama-2-decode-0-1'
    """
    return f"{owner}-{group}-{role.lower()}-{instance}-{index}"


def service_name(owner: str, group: int, role: str, instance: int) -> str:
    """The headless Service that resolves to the instance's entry pod has that pod's name."""
    return pod_name(owner, group, role, instance, 0)


def entry_address(owner: str, namespace: str, group: int, role: str, instance: int) -> str:
    """Host name of the instance's entry pod, as workers see it in ENTRY_ADDRESS."""
    return f"{service_name(owner, group, role, instance)}.{namespace}"
