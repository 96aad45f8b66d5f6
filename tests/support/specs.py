"""Short ways to write the spec of a ModelInfer, as JSON. Whatever is left out is left to the defaults."""

import copy
from typing import Any

Spec = dict[str, Any]
UPDATE = {"max_unavailable": "maxUnavailable", "max_surge": "maxSurge", "partition": "partition"}


def pod_template(image: str, **spec: Any) -> Spec:
    return {"spec": {"containers": [{"name": "main", "image": image}], **spec}}


def role(name: str, replicas: int, workers: int, template: Spec) -> Spec:
    """A role all of whose pods are made from this template, of which the workers have a copy."""
    made: Spec = {"name": name, "replicas": replicas, "workerReplicas": workers, "entryTemplate": template}
    return {**made, "workerTemplate": copy.deepcopy(template)} if workers else made


def spec_of(replicas: int, *roles: Spec, template: Spec | None = None, **fields: Any) -> Spec:
    """template: the other fields of the InferGroup."""
    return {"replicas": replicas, **fields, "template": {"roles": list(roles), **(template or {})}}


def update(**configuration: Any) -> Spec:
    """update(maxSurge=1) as a field of the spec."""
    return {"rolloutStrategy": {"rollingUpdateConfiguration": configuration}}


def rolling(replicas: int, *roles: Spec, grace: int = 0, gang: Spec | None = None, **fields: Any) -> Spec:
    """max_unavailable, max_surge and partition are put where they belong; other keywords are fields of the spec."""
    configuration = {UPDATE[word]: fields.pop(word) for word in UPDATE if word in fields}
    template: Spec = {"restartGracePeriodSeconds": grace, **({"gangSchedule": gang} if gang is not None else {})}
    strategy = update(**configuration)["rolloutStrategy"]
    strategy["type"] = "InferGroupRollingUpdate"
    return spec_of(replicas, *roles, template=template, rolloutStrategy=strategy, **fields)
