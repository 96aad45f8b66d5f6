"""The drawn pictures of the docs: `python hack/pictures.py` writes them into docs/pictures.

Plain SVG of boxes and text, with colours that are readable on a light and on a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
BLUE, GREEN, ORANGE, RED, GREY = "#1f6feb", "#1a7f37", "#bf6a02", "#cf222e", "#6e7781"


def box(x: int, y: int, width: int, height: int, title: str, colour: str, *, dashed: bool = False) -> str:
    """A frame with its title at the top left."""
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{colour}" fill-opacity="0.07" '
        f'stroke="{colour}" stroke-width="1.5"{dash}/>'
        f'<text x="{x + 10}" y="{y + 19}" fill="{colour}" font-weight="600">{escape(title)}</text>'
    )


def pod(x: int, y: int, name: str, note: str, colour: str = GREEN, width: int = 150) -> str:
    """A filled box with two centred lines."""
    middle = x + width // 2
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="46" rx="6" fill="{colour}"/>'
        f'<text x="{middle}" y="{y + 20}" fill="#fff" text-anchor="middle" font-weight="600">{escape(name)}</text>'
        f'<text x="{middle}" y="{y + 36}" fill="#fff" text-anchor="middle" font-size="11">{escape(note)}</text>'
    )


def text(x: int, y: int, content: str, colour: str = GREY, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}">{escape(content)}</text>'


def picture(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="13"><title>{escape(title)}</title>'
    )
    return head + "\n".join(parts) + "</svg>\n"


def group_picture() -> str:
    parts = [box(10, 10, 780, 300, "ModelInfer llama, replicas: 2", GREY)]
    for ordinal, y in ((0, 45), (1, 260)):
        if ordinal == 1:
            parts += [box(30, y, 740, 36, "InferGroup llama-1: the same again", BLUE, dashed=True)]
            continue
        parts += [
            box(30, y, 740, 200, "InferGroup llama-0: one complete serving instance", BLUE),
            box(50, y + 35, 200, 150, "role prefill, replicas: 1", ORANGE),
            box(60, y + 65, 180, 105, "role instance prefill-0", GREY),
            pod(75, y + 95, "entry pod", "llama-0-prefill-0-0"),
            box(270, y + 35, 480, 150, "role decode, replicas: 2, workerReplicas: 1", ORANGE),
        ]
        for instance, x in ((0, 280), (1, 515)):
            parts += [
                box(x, y + 60, 225, 118, f"role instance decode-{instance}", GREY),
                pod(x + 10, y + 84, "entry pod", f"llama-0-decode-{instance}-0", width=205),
                pod(x + 10, y + 131, "worker", f"llama-0-decode-{instance}-1", colour=BLUE, width=205),
            ]
    return picture(800, 320, "A ModelInfer has groups, a group has roles, a role has instances of pods", parts)


def revision_picture() -> str:
    parts = [text(20, 25, "replicas: 4, partition: 1, maxUnavailable: 1")]
    rows = (
        ("before", ("v1", "v1", "v1", "v1")),
        ("step 1", ("v1", "v1", "v1", "…")),
        ("step 2", ("v1", "v1", "…", "v2")),
        ("step 3", ("v1", "…", "v2", "v2")),
        ("done", ("v1", "v2", "v2", "v2")),
    )
    colours = {"v1": GREY, "v2": GREEN, "…": ORANGE}
    notes = {"v1": "old revision", "v2": "new revision", "…": "being replaced"}
    for line, (name, states) in enumerate(rows):
        y = 45 + 58 * line
        parts.append(text(20, y + 28, name))
        for ordinal, state in enumerate(states):
            label = f"group {ordinal}" + (f": {state}" if state != "…" else "")
            parts.append(pod(90 + 165 * ordinal, y, label, notes[state], colours[state]))
    parts.append(f'<line x1="247" y1="38" x2="247" y2="330" stroke="{RED}" stroke-width="2" stroke-dasharray="5 4"/>')
    parts.append(text(258, 348, "partition: groups to the left of it keep their revision", RED))
    return picture(770, 360, "An update goes from the highest ordinal down to the partition", parts)


def recovery_picture() -> str:
    parts = [text(20, 25, "llama-0-decode-0-1 fails. What is recreated?")]
    policies = (
        ("None", {"decode-0-1"}, "the failed pod; restarts are the kubelet's"),
        ("RoleRecreate", {"decode-0-0", "decode-0-1"}, "its role instance"),
        ("InferGroupRecreate", {"prefill-0-0", "decode-0-0", "decode-0-1", "decode-1-0", "decode-1-1"}, "its group"),
    )
    names = ("prefill-0-0", "decode-0-0", "decode-0-1", "decode-1-0", "decode-1-1")
    for line, (policy, recreated, meaning) in enumerate(policies):
        y = 40 + 95 * line
        parts.append(box(10, y, 780, 85, f"{policy}: {meaning}", BLUE))
        for index, name in enumerate(names):
            is_recreated = name in recreated
            note = "failed, recreated" if name == "decode-0-1" else "recreated" if is_recreated else "untouched"
            colour = RED if name == "decode-0-1" else ORANGE if is_recreated else GREEN
            parts.append(pod(25 + 153 * index, y + 30, name, note, colour, width=140))
    return picture(800, 335, "Recovery policies and what they recreate", parts)


def arrow(points: Sequence[tuple[int, int]], *, dashed: bool = False) -> str:
    """A line through the points, with a head at the last; it goes straight up, down, left or right there."""
    (x0, y0), (x, y) = points[-2:]
    dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
    head = [(x, y), (x - 9 * dx - 5 * dy, y - 9 * dy - 5 * dx), (x - 9 * dx + 5 * dy, y - 9 * dy + 5 * dx)]
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<polyline points="{_points(points)}" fill="none" stroke="{GREY}" stroke-width="1.5"{dash}/>'
        f'<polygon points="{_points(head)}" fill="{GREY}"/>'
    )


def _points(points: Sequence[tuple[int, int]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def flow_picture() -> str:
    """The mermaid of docs/architecture.md, for the site, which fetches no script to draw it."""
    parts = [
        pod(10, 150, "API server", "etcd behind it", GREY, width=120),
        pod(240, 40, "informers", "list and watch, caches", BLUE, width=170),
        pod(590, 40, "work queue", "one key at a time", BLUE, width=170),
        box(220, 120, 670, 105, "reconcile", GREY),
        pod(240, 155, "observe", "one step", GREEN, width=120),
        pod(420, 155, "decide", "pure", GREEN, width=120),
        pod(600, 155, "execute", "awaits", GREEN, width=120),
        pod(770, 155, "report", "status, events", GREEN, width=105),
        arrow([(70, 150), (70, 63), (240, 63)]),
        text(80, 55, "list and watch"),
        arrow([(410, 63), (590, 63)]),
        text(420, 55, "enqueue the owner's key"),
        arrow([(675, 86), (675, 104), (210, 104), (210, 178), (240, 178)]),
        arrow([(300, 86), (300, 155)], dashed=True),
        text(306, 140, "read"),
        arrow([(360, 178), (420, 178)]),
        text(362, 171, "snapshot"),
        arrow([(540, 178), (600, 178)]),
        text(556, 171, "plan"),
        arrow([(720, 178), (770, 178)]),
        arrow([(660, 201), (660, 248), (90, 248), (90, 196)]),
        text(100, 243, "writes; the caches expect them until the watch shows them"),
        arrow([(820, 201), (820, 275), (50, 275), (50, 196)]),
        text(100, 270, "one status patch, coalesced and throttled; Events"),
    ]
    return picture(900, 290, "From the API server through caches, queue and reconcile back to the API server", parts)


PICTURES = {
    "group": group_picture,
    "revision": revision_picture,
    "recovery": recovery_picture,
    "flow": flow_picture,
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
