"""The examples of docs/group-life.md are accepted as they stand, and do no harm to groups that run."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.facts import Object
from sim.scene import scene
from sim.world import a_role, a_spec

PAGE = Path(__file__).parents[2] / "docs" / "group-life.md"
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.M | re.S)]


def name_of(example: Object) -> str:
    fields = example["spec"]
    return str(next(iter(fields.get("template", fields))))


def is_part(part: Any, whole: Any) -> bool:
    if not isinstance(part, dict):
        return bool(part == whole)
    return isinstance(whole, dict) and all(key in whole and is_part(value, whole[key]) for key, value in part.items())


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
async def test_an_example_is_accepted_whole_and_restarts_no_pod(example: Object) -> None:
    async with scene(a_spec(2, a_role("decode", 1, 1))) as stage:
        before = stage.uids()
        await stage.world.patch_spec(**example["spec"])
        assert is_part(example["spec"], stage.world.facts.spec), "fields are lost: the API does not know them"
        await stage.world.sleep(600)
        stage.check_at_rest()
        assert stage.uids() == ({} if "suspend" in example["spec"] else before)


def test_every_field_has_an_example() -> None:
    assert {name_of(example) for example in EXAMPLES} == {
        "minReadySeconds",
        "startupPolicy",
        "paused",
        "progressDeadlineSeconds",
        "drain",
        "suspend",
    }
