"""minResources counts what the scheduler will count."""

from decimal import Decimal
from typing import Any

import pytest

from modelinfer_controller.api.quantity import format_quantity, parse_quantity
from modelinfer_controller.planning.resources import pod_requests, same_resources


def container(requests: dict[str, Any] | None = None, limits: dict[str, Any] | None = None, **more: Any) -> Any:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value is not None}
    return {"name": "c", "resources": resources, **more}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, {}, id="no containers"),
        pytest.param({"containers": [{"name": "c"}]}, {}, id="no resources"),
        pytest.param({"containers": [container({"cpu": "1"}), container({"cpu": "500m"})]}, {"cpu": "1500m"}, id="sum"),
        pytest.param(
            {"containers": [container(None, {"nvidia.com/gpu": 8})]}, {"nvidia.com/gpu": "8"}, id="limits only"
        ),
        pytest.param(
            {"containers": [container({"cpu": "1"}, {"cpu": "4", "memory": "1Gi"})]},
            {"cpu": "1", "memory": "1Gi"},
            id="limits stand in for missing requests alone",
        ),
        pytest.param(
            {"containers": [container({"cpu": "1"})], "initContainers": [container({"cpu": "3"})]},
            {"cpu": "3"},
            id="a greater init container",
        ),
        pytest.param(
            {"containers": [container({"cpu": "2"})], "initContainers": [container({"cpu": "1", "memory": "1Mi"})]},
            {"cpu": "2", "memory": "1Mi"},
            id="the greater of both for each resource",
        ),
        pytest.param(
            {
                "containers": [container({"cpu": "2"})],
                "initContainers": [container({"cpu": "1"}), container({"cpu": "4"})],
            },
            {"cpu": "4"},
            id="init containers run one after the other",
        ),
        pytest.param(
            {
                "containers": [container({"cpu": "2"})],
                "initContainers": [container({"cpu": "1"}, restartPolicy="Always")],
            },
            {"cpu": "3"},
            id="a sidecar runs beside the containers",
        ),
        pytest.param(
            {
                "containers": [container({"cpu": "1"})],
                "initContainers": [container({"cpu": "2"}, restartPolicy="Always"), container({"cpu": "5"})],
            },
            {"cpu": "7"},
            id="an init container beside the sidecars before it",
        ),
        pytest.param(
            {
                "containers": [container({"cpu": "1"})],
                "initContainers": [container({"cpu": "5"}), container({"cpu": "2"}, restartPolicy="Always")],
            },
            {"cpu": "5"},
            id="but not those after it",
        ),
        pytest.param(
            {"containers": [container({"cpu": "1"})], "overhead": {"cpu": "250m", "memory": "10Mi"}},
            {"cpu": "1250m", "memory": "10Mi"},
            id="overhead",
        ),
        pytest.param(
            {"containers": [container({"cpu": "1"})], "resources": {"requests": {"cpu": "6"}}},
            {"cpu": "6"},
            id="pod-level requests win",
        ),
    ],
)
def test_effective_requests(spec: dict[str, Any], expected: dict[str, str]) -> None:
    assert same_resources(pod_requests_as_text(spec), expected)


def pod_requests_as_text(spec: dict[str, Any]) -> dict[str, str]:
    return {name: format_quantity(value) for name, value in pod_requests(spec).items()}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", "2"),
        ("2000m", "2"),
        ("1.5", "1.5"),
        ("1Ki", "1024"),
        ("1k", "1000"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1E", "1000000000000000000"),
        ("1Ei", "1152921504606846976"),
        ("100n", "0.0000001"),
        (3, "3"),
        (0.5, "0.5"),
    ],
)
def test_quantities(text: str | int | float, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)
    assert parse_quantity(format_quantity(parse_quantity(text))) == Decimal(number)


@pytest.mark.parametrize("text", ["", "x", "1Kii", "1 Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


def test_a_quantity_is_written_without_an_exponent() -> None:
    assert format_quantity(Decimal("2E+3")) == "2000"
    assert format_quantity(Decimal("0.25")) == "250m"
    assert format_quantity(Decimal("1E-12")) == "1n", "the API rounds up"


def test_a_template_that_the_server_will_refuse_stops_nothing_here() -> None:
    assert pod_requests({"containers": [container({"cpu": "lots", "memory": "1"})]}) == {"memory": Decimal(1)}
