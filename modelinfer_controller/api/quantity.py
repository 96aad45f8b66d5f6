"""Resource quantities as Kubernetes writes them: 500m, 16Gi, 1e3."""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

SUFFIXES: Mapping[str, Decimal] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}

# "1E3" is an exponent, "1E" an exa.
QUANTITY_PATTERN = re.compile(rf"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)({'|'.join(SUFFIXES)})?")


@lru_cache(maxsize=4096)
def parse_quantity(quantity: str | int | float) -> Decimal:
    """A Kubernetes quantity as a number. Raises ValueError for what is none.

    >>> parse_quantity("2") == parse_quantity("2000m"), parse_quantity("1Ki")
    (True, Decimal('1024'))
    """
    match = QUANTITY_PATTERN.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity")
    number, suffix = match[1], match[2]
    return Decimal(number) * SUFFIXES[suffix] if suffix else Decimal(number)


def format_quantity(value: Decimal) -> str:
    """The number as a plain quantity, in whole units where it is whole, else in milli, micro or nano units."""
    for suffix in ("", "m", "u"):
        scaled = value / SUFFIXES[suffix] if suffix else value
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    return f"{int((value / SUFFIXES['n']).to_integral_value(ROUND_CEILING))}n"  # rounded up, as the API does
