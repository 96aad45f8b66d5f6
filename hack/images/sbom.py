"""The image's bill of materials: CycloneDX, of what the lock names, each with every hash that may be installed.

The base image is not part of it: its packages are Debian's, and tools that scan images read their list there.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

# source: pip's requirements file format; a lock's lines are joined, and each names one version.
_REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?P<rest>[^\n]*)$", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def sbom_of(lock: Path, project: Path) -> str:
    """The bill of materials, as JSON, of a lock and the pyproject.toml behind it. The same files give the same text."""
    table = tomllib.loads(project.read_text())["project"]
    root = Component(
        name=table["name"],
        version=table["version"],
        type=ComponentType.APPLICATION,
        bom_ref=f"{table['name']}=={table['version']}",
    )
    components = list(_components(lock.read_text()))
    digest = hashlib.sha256(lock.read_bytes() + project.read_bytes()).hexdigest()
    bom = Bom(components=components, serial_number=uuid.uuid5(uuid.NAMESPACE_OID, digest))
    bom.metadata.component = root
    bom.register_dependency(root, components)  # a lock tells what is needed, and not by what
    return _without_time(JsonV1Dot6(bom).output_as_string(indent=2))


def _components(lock: str) -> Iterator[Component]:
    for found in _REQUIREMENT.finditer(lock.replace("\\\n", " ")):
        name, version = found["name"], found["version"]
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"{name}=={version}",
            purl=PackageURL("pypi", name=name, version=version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in _HASH.findall(found["rest"])],
        )


def _without_time(document: str) -> str:
    """The library stamps every document with the time at which it was made."""
    bom = json.loads(document)
    bom["metadata"].pop("timestamp", None)
    return json.dumps(bom, indent=2)
