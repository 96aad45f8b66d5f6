"""ResourceQuota as the API server enforces it when a pod is created."""

from collections.abc import Iterator
from decimal import Decimal

from modelinfer_controller.api.quantity import parse_quantity
from modelinfer_controller.simulator.apiserver.kinds import PODS, RESOURCE_QUOTAS
from modelinfer_controller.simulator.apiserver.pods import is_finished, requests_of
from modelinfer_controller.simulator.apiserver.status_errors import StatusError, forbidden
from modelinfer_controller.simulator.apiserver.store import Store
from modelinfer_controller.simulator.objects import Object, field


def quota_error(store: Store, namespace: str, pod: Object) -> StatusError | None:
    """Why the namespace's quotas refuse this new pod, or None. Counted are pods that are not finished."""
    for quota in _quotas(store, namespace):
        hard: dict[str, str] = field(quota, "spec", "hard") or {}
        used = usage(store, namespace, tuple(hard))
        asked = _usage_of(pod, tuple(hard))
        exceeded = [
            name for name in sorted(hard) if asked[name] and used[name] + asked[name] > parse_quantity(hard[name])
        ]
        if exceeded:
            return _exceeded(pod, quota, exceeded, asked, used, hard)
    return None


def _quotas(store: Store, namespace: str) -> Iterator[Object]:
    for (quota_namespace, _), stored in sorted(store.collection(RESOURCE_QUOTAS.key).objects.items()):
        if quota_namespace == namespace:
            yield stored.object


def usage(store: Store, namespace: str, names: tuple[str, ...]) -> dict[str, Decimal]:
    """What the namespace's pods use of the quota's resources, in base units."""
    total = dict.fromkeys(names, Decimal(0))
    for (pod_namespace, _), stored in store.collection(PODS.key).objects.items():
        if pod_namespace == namespace and not is_finished(stored.object):
            for name, amount in _usage_of(stored.object, names).items():
                total[name] += amount
    return total


def _usage_of(pod: Object, names: tuple[str, ...]) -> dict[str, Decimal]:
    requests = requests_of(pod["spec"])
    return {name: _amount(name, requests) for name in names}


def _amount(name: str, requests: dict[str, Decimal]) -> Decimal:
    if name in ("pods", "count/pods"):
        return Decimal(1)
    return requests.get(name.removeprefix("requests."), Decimal(0))


def _exceeded(
    pod: Object,
    quota: Object,
    names: list[str],
    asked: dict[str, Decimal],
    used: dict[str, Decimal],
    hard: dict[str, str],
) -> StatusError:
    def listed(amounts: dict[str, Decimal] | dict[str, str]) -> str:
        return ",".join(f"{name}={amounts[name]}" for name in names)

    why = f"exceeded quota: {quota['metadata']['name']}, requested: {listed(asked)}, used: {listed(used)}, "
    return forbidden(PODS, pod["metadata"]["name"], f"{why}limited: {listed(hard)}")
