"""`--image`: the spec with other images, as `kubectl set image` names them."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelinfer_controller.kubectl.model.kubeconfig import failure

TEMPLATES = ("entryTemplate", "workerTemplate")


def with_images(spec: Mapping[str, Any], images: Sequence[str]) -> Mapping[str, Any]:
    """images: IMAGE for every container, or CONTAINER=IMAGE for those of that name in every role. Raises Exit."""
    changed = copy.deepcopy(dict(spec))
    for given in images:
        container, is_named, image = given.rpartition("=")
        chosen = [each for each in _containers(changed) if not is_named or each.get("name") == container]
        if not chosen:
            there = ", ".join(dict.fromkeys(str(each.get("name")) for each in _containers(changed)))
            raise failure(f"--image: no container is named {container!r}; there are: {there}")
        for each in chosen:
            each["image"] = image
    return changed


def _containers(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for role in spec["template"]["roles"]:
        for template in TEMPLATES:
            if role.get(template) is not None:
                yield from role[template]["spec"].get("containers") or ()
