"""A simulated cluster for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from api_user import User

from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

CRD = Path(__file__).parents[3] / "manifests" / "crd" / "modelinfers.yaml"


@pytest_asyncio.fixture
async def server() -> SimulatedControlPlane:
    """The API server alone: nothing runs, so nothing happens but what the test does."""
    return SimulatedControlPlane(definitions=[CRD])


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[SimulatedControlPlane]:
    async with SimulatedControlPlane(definitions=[CRD]) as running:
        yield running


@pytest_asyncio.fixture
async def user(server: SimulatedControlPlane) -> User:
    return User(server)
