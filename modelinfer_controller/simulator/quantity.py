"""Resource quantities: "500m", "16Gi", "1e3"."""

import re
from decimal import Decimal
from functools import lru_cache

_FORM = re.compile(r"([+-]?[0-9.]+)([eE][+-]?[0-9]+)?([numkMGTPE]|[KMGTPE]i)?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


@lru_cache(maxsize=4096)
def quantity(text: str | int | float) -> Decimal:
    """The number that a quantity stands for. Raises ValueError where it is none."""
    found = _FORM.fullmatch(str(text))
    if found is None:
        raise ValueError(f"quantities must match the regular expression: {text!r}")
    number = Decimal(found[1] + (found[2] or ""))
    suffix = found[3] or ""
    return number * 1024 ** _BINARY[suffix] if suffix in _BINARY else number.scaleb(_DECIMAL[suffix])
