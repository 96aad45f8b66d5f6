"""Pictures as files: SVG by itself, PNG by whichever program of this machine draws SVG."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.render.output import write_file

_CONVERTERS: Sequence[tuple[str, Sequence[str]]] = (
    ("rsvg-convert", ("--zoom", "2", "--output", "{png}", "{svg}")),
    ("resvg", ("--zoom", "2", "{svg}", "{png}")),
    ("inkscape", ("--export-filename={png}", "--export-dpi=192", "{svg}")),
    ("magick", ("-density", "192", "{svg}", "{png}")),
)


def write_picture(path: str, svg: str) -> None:
    """By the ending of the path. Raises Exit where it cannot be written, or nothing here draws PNG."""
    if Path(path).suffix.lower() != ".png":
        write_file(path, svg)
        return
    for program, arguments in _CONVERTERS:
        if found := shutil.which(program):
            _convert([found, *arguments], svg, path)
            return
    names = ", ".join(program for program, _ in _CONVERTERS)
    raise failure(f"{path}: PNG needs one of {names} on the PATH; a path that ends in .svg needs none")


def _convert(command: Sequence[str], svg: str, png: str) -> None:
    with tempfile.TemporaryDirectory(prefix="modelinfer-") as folder:
        drawing = Path(folder, "picture.svg")
        drawing.write_text(svg, encoding="utf-8")
        words = [word.format(svg=drawing, png=png) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise failure(f"cannot draw {png}: {words[0]}: {done.stderr.strip() or 'no message'}")
