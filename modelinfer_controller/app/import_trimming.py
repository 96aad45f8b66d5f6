"""Keeps out what libraries import on the side and the controller never uses: a third of the time to start."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def trimmed_imports() -> Iterator[None]:
    """For the imports of a process that runs the controller; what is imported afterwards is imported as always.

    kubernetes: its package imports the whole synchronous client, beside the asynchronous one that we use. structlog:
    its console renderer imports rich, where that is installed, to print tracebacks that we print plainly.
    """
    _import_as_a_mere_folder("kubernetes")
    is_hidden = "rich" not in sys.modules
    if is_hidden:
        sys.modules["rich"] = None  # type: ignore[assignment] # Python's own way to say: not to be found
    try:
        yield
    finally:
        if is_hidden:
            del sys.modules["rich"]


def _import_as_a_mere_folder(name: str) -> None:
    """The package without its __init__: its modules can be imported, each by itself."""
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None or spec.submodule_search_locations is None:
        return
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules[name] = package
