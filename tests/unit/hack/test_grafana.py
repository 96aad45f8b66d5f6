"""The dashboard's file is what hack/dashboard makes, and its links lead somewhere."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from dashboard.__main__ import FILE, text
from dashboard.model import ROWS, anchor, dashboard

OPERATE = Path(__file__).parents[3] / "docs" / "operate.md"


def test_the_file_is_as_it_is_made() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run: PYTHONPATH=hack python -m dashboard"


def test_runbooks_are_headings() -> None:
    headings = {anchor(one) for one in re.findall(r"^#+ (.*)$", OPERATE.read_text(), re.MULTILINE)}
    wanted = {anchor(panel.runbook) for row in ROWS for panel in row.panels if panel.runbook}
    assert wanted <= headings


def test_panels_do_not_overlap_and_stay_on_the_page() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_every_panel_has_an_id_and_a_title_of_its_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
