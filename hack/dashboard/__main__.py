"""`PYTHONPATH=hack python -m dashboard`: write the dashboard."""

from __future__ import annotations

import json
from pathlib import Path

from dashboard.model import dashboard

FILE = Path(__file__).resolve().parents[2] / "manifests" / "components" / "dashboard" / "modelinfer.json"


def text() -> str:
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
