"""Pictures as files, by the ending of their path: SVG by itself, PNG by Pillow."""

from pathlib import Path

from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.render.output import write_file

ENDINGS = (".svg", ".png")


def require_picture(path: str) -> None:
    """Before anything is asked of a cluster. Raises Exit where the path has another ending, or PNG cannot be drawn."""
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise failure(f"--plot {path}: a picture is a file that ends in {' or '.join(ENDINGS)}")
    if ending == ".png":
        _require_pillow(path)


def write_picture(path: str, svg: str) -> None:
    """Raises Exit where it cannot be written."""
    if Path(path).suffix.lower() != ".png":
        write_file(path, svg)
        return
    from modelinfer_controller.kubectl.render.png import png_of

    _require_pillow(path)
    write_file(path, png_of(svg))


def _require_pillow(path: str) -> None:
    try:
        import PIL  # noqa: F401 # slow to import, and rarely needed
    except ImportError as error:
        raise failure(
            f"--plot {path}: PNG needs the library Pillow, which `python3 -m pip install pillow` installs; "
            "a path that ends in .svg needs nothing"
        ) from error
