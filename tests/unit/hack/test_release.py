"""What a release is called, says and holds."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml
from release import ROOT, ReleaseError, checksums, notes, stamp

from modelinfer_controller import __version__

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- New.

## [0.1.0]

### Added

- Old.
"""
VERSIONED = (
    "pyproject.toml",
    "modelinfer_controller/__init__.py",
    "manifests/default/kustomization.yaml",
    "charts/modelinfer-controller/Chart.yaml",
)


def test_the_notes_are_those_of_the_version_or_of_what_is_unreleased() -> None:
    assert notes(CHANGELOG, "0.1.0") == "# 0.1.0\n\n### Added\n\n- Old.\n"
    assert notes(CHANGELOG, "0.2.0") == "# 0.2.0\n\n### Added\n\n- New.\n"


def test_there_is_no_release_of_which_nothing_is_said() -> None:
    with pytest.raises(ReleaseError, match=r"says nothing of 0\.2\.0"):
        notes("# Changelog\n\n## [0.1.0]\n\n- Old.\n", "0.2.0")


def test_the_present_version_is_in_the_changelog() -> None:
    assert f"\n## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def copied(folder: Path) -> Path:
    for name in VERSIONED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_every_file_bears_the_version(tmp_path: Path) -> None:
    stamp(copied(tmp_path), "7.8.9")
    for name in VERSIONED:
        text = (tmp_path / name).read_text()
        assert "7.8.9" in text, name
        assert f'"{__version__}"' not in text, name
    chart = yaml.safe_load((tmp_path / VERSIONED[-1]).read_text())
    assert (chart["version"], chart["appVersion"]) == ("7.8.9", "7.8.9")


def test_a_file_that_lost_its_version_is_noticed(tmp_path: Path) -> None:
    (copied(tmp_path) / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(ReleaseError, match=r"pyproject\.toml bears no version"):
        stamp(tmp_path, "7.8.9")


def test_checksums_name_every_file_but_their_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "SHA256SUMS").write_text("")
    assert checksums(tmp_path) == f"{hashlib.sha256(b'a').hexdigest()}  a\n"
