"""The simulated kubelet writes what a real one wrote in the same state (tests/e2e/fixtures)."""

from __future__ import annotations

import asyncio

import pytest
from api_user import PODS, User
from kubelet_statuses import SCRIPTS, WITHOUT_SCRIPT, annotations, fixture, fixture_names, shape

from modelinfer_controller.simulator.control_plane import SimulatedControlPlane


def test_every_recorded_state_has_a_script_or_a_reason_why_not() -> None:
    assert SCRIPTS.keys() | WITHOUT_SCRIPT == fixture_names()


@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_simulated_kubelet_says_what_a_real_one_says(cluster: SimulatedControlPlane, name: str) -> None:
    user, script = User(cluster), SCRIPTS[name]
    assert (await user.create(PODS, script.pod("a"))).status == 201
    await asyncio.sleep(2)
    if script.then:
        await user.patch(f"{PODS}/a", {"metadata": {"annotations": annotations(script.then)}})
        await asyncio.sleep(2)
    seen = (await user.get(f"{PODS}/a")).body["status"]
    assert shape(seen) == shape(fixture(name))
