"""A label selector matched here: what is followed comes from caches that no server has filtered."""

import re
from collections.abc import Mapping

from modelinfer_controller.kubectl.model.kubeconfig import failure

_REQUIREMENT = re.compile(
    r"\s*(?P<key>[^\s=!(),]+)\s*"
    r"(?:(?P<op>==|=|!=)\s*(?P<value>[^\s,()=!]*)|(?P<set>in|notin)\s*\((?P<values>[^)]*)\))?\s*"
)
_ABSENT = re.compile(r"\s*!\s*(?P<key>[^\s=!(),]+)\s*")


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """kubectl's syntax: a=b, a==b, a!=b, a, !a, a in (b,c), a notin (b). Raises Exit."""
    return all(_holds(part, labels) for part in re.split(r",(?![^(]*\))", selector) if part.strip())


def _holds(part: str, labels: Mapping[str, str]) -> bool:
    if absent := _ABSENT.fullmatch(part):
        return absent["key"] not in labels
    found = _REQUIREMENT.fullmatch(part)
    if found is None:
        raise failure(f"the label selector {part!r} is not understood")
    value = labels.get(found["key"])
    if found["set"]:
        return (value in {each.strip() for each in found["values"].split(",")}) == (found["set"] == "in")
    if found["op"] is None:
        return value is not None
    return (value == found["value"]) == (found["op"] != "!=")
