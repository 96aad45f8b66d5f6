"""The bill of materials says what the lock says."""

import json
from pathlib import Path
from typing import Any

import pytest
from images.sbom import sbom_of

ROOT = Path(__file__).parents[3]
PROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "requirements-image.lock"


@pytest.fixture(scope="module")
def bom() -> dict[str, Any]:
    parsed = json.loads(sbom_of(LOCK, PROJECT))
    assert isinstance(parsed, dict)
    return parsed


def locked(lock: Path) -> dict[str, set[str]]:
    """The hashes of each `name==version`, read line by line."""
    hashes_by_pin: dict[str, set[str]] = {}
    pin = ""
    for line in lock.read_text().splitlines():
        word = line.split()[0]
        if word.startswith("--hash=sha256:"):
            hashes_by_pin[pin].add(word.removeprefix("--hash=sha256:"))
        else:
            pin = word
            hashes_by_pin[pin] = set()
    return hashes_by_pin


def test_it_names_exactly_the_locked_packages_with_every_hash(bom: dict[str, Any]) -> None:
    named = {
        f"{each['name']}=={each['version']}": {each["content"] for each in each["hashes"]} for each in bom["components"]
    }
    assert named == locked(LOCK)
    assert len(bom["components"]) == len(named)
    assert all(named.values())
    assert {each["alg"] for component in bom["components"] for each in component["hashes"]} == {"SHA-256"}


def test_it_tells_scanners_where_each_package_is_from(bom: dict[str, Any]) -> None:
    for component in bom["components"]:
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"


def test_it_is_about_this_version_and_depends_on_all(bom: dict[str, Any]) -> None:
    subject = bom["metadata"]["component"]
    assert (bom["bomFormat"], subject["name"], subject["type"]) == ("CycloneDX", "modelinfer-controller", "application")
    (depends_on,) = (each["dependsOn"] for each in bom["dependencies"] if each["ref"] == subject["bom-ref"])
    assert set(depends_on) == {each["bom-ref"] for each in bom["components"]}


def test_the_same_lock_gives_the_same_document_and_another_another(tmp_path: Path) -> None:
    assert sbom_of(LOCK, PROJECT) == sbom_of(LOCK, PROJECT)
    other = tmp_path / "other.lock"
    other.write_text(LOCK.read_text() + "extra==1.0 ; python_version < '4' \\\n    --hash=sha256:" + "0" * 64 + "\n")
    changed = json.loads(sbom_of(other, PROJECT))
    assert "extra==1.0" in {each["bom-ref"] for each in changed["components"]}
    assert changed["serialNumber"] != json.loads(sbom_of(LOCK, PROJECT))["serialNumber"]
