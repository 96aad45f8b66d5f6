"""Our own drawings as PNG: rectangles, lines, circles, polylines and text of SVG, and nothing else of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from PIL import ImageDraw

SCALE = 2  # pixels for each unit of the drawing: sharp on today's screens
INK = "#000000"
ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}

Element = ElementTree.Element


def png_of(svg: str) -> bytes:
    """The PNG. Raises ImportError where Pillow is not installed."""
    from PIL import Image, ImageDraw

    root = ElementTree.fromstring(svg)
    size = (_pixels(root, "width"), _pixels(root, "height"))
    image = Image.new("RGB", size, "white")
    canvas = _Canvas(ImageDraw.Draw(image), size, float(root.get("font-size", 12)) * SCALE)
    for element in root:
        canvas.draw(element)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _pixels(element: Element, name: str) -> int:
    return round(float(element.get(name, 0)) * SCALE)


class _Canvas:
    """Draws one element after the other, in pixels."""

    def __init__(self, on: ImageDraw.ImageDraw, size: tuple[int, int], font_size: float) -> None:
        from PIL import ImageFont

        self._on = on
        self._size = size
        self._font = ImageFont.load_default(font_size)
        self._shapes: Mapping[str, Callable[[Element], None]] = {
            "rect": self._rect,
            "line": self._line,
            "circle": self._circle,
            "polyline": self._polyline,
            "text": self._text,
        }

    def draw(self, element: Element) -> None:
        self._shapes[element.tag.rpartition("}")[2]](element)

    def _rect(self, element: Element) -> None:
        if element.get("width") == "100%":
            box = (0.0, 0.0, float(self._size[0]), float(self._size[1]))
        else:
            x, y = _numbers(element, "x", "y")
            width, height = _numbers(element, "width", "height")
            box = (x, y, x + max(width, 1) - 1, y + max(height, 1) - 1)
        self._on.rectangle(box, fill=element.get("fill", INK))

    def _line(self, element: Element) -> None:
        x1, y1, x2, y2 = _numbers(element, "x1", "y1", "x2", "y2")
        for dash in _dashes((x1, y1), (x2, y2), element.get("stroke-dasharray")):
            self._on.line(dash, fill=element.get("stroke", INK), width=SCALE)

    def _circle(self, element: Element) -> None:
        x, y, radius = _numbers(element, "cx", "cy", "r")
        self._on.ellipse((x - radius, y - radius, x + radius, y + radius), fill=element.get("fill", INK))

    def _polyline(self, element: Element) -> None:
        points = [tuple(float(one) * SCALE for one in point.split(",")) for point in element.get("points", "").split()]
        width = _pixels(element, "stroke-width") or SCALE
        for start, end in pairwise(points):
            self._on.line([start, end], fill=element.get("stroke", INK), width=width)

    def _text(self, element: Element) -> None:
        anchor = ANCHORS[element.get("text-anchor", "start")]
        x, y = _numbers(element, "x", "y")
        self._on.text((x, y), element.text or "", fill=element.get("fill", INK), font=self._font, anchor=anchor)


def _numbers(element: Element, *names: str) -> Iterator[float]:
    return (float(element.get(name, 0)) * SCALE for name in names)


def _dashes(
    start: tuple[float, float], end: tuple[float, float], pattern: str | None
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The pieces of a line. pattern: the length of a dash and that of a gap; None for a whole line."""
    if pattern is None:
        yield start, end
        return
    dash, gap = (float(one) * SCALE for one in pattern.split())
    (x1, y1), (x2, y2) = start, end
    length = max(abs(x2 - x1), abs(y2 - y1), 1.0)

    def at(distance: float) -> tuple[float, float]:
        share = min(distance / length, 1.0)
        return x1 + (x2 - x1) * share, y1 + (y2 - y1) * share

    done = 0.0
    while done < length:
        yield at(done), at(done + dash)
        done += dash + gap
