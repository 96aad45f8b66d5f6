"""Text of others on a terminal: how many columns it takes, where it is broken, and nothing in it that steers."""

import textwrap
import unicodedata
from collections.abc import Iterator

_WIDE = ("W", "F")  # East Asian Wide and Fullwidth take two columns. source: Unicode Standard Annex 11
_NO_COLUMN = ("Mn", "Me", "Cf")  # what is drawn onto the character before it, or not at all
_STEERING = ("Cc", "Cs")
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def display_width(text: str) -> int:
    """In columns."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in _NO_COLUMN:
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


def visible(text: str) -> str:
    """Escape sequences and the like as what they are, so that no message moves the cursor or hides another one."""
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in _STEERING or character in _DIRECTIONS:
        return ascii(character)[1:-1]
    return character


def cut(text: str, width: int) -> str:
    """At most so many columns, with an ellipsis where something is missing."""
    return text if display_width(text) <= width else _head(text, max(width - 1, 0)) + "…"


def _head(text: str, width: int) -> str:
    """As much of the beginning as has room."""
    used = 0
    for at, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return text[:at]
    return text


def wrapped(text: str, width: int, *, breaks_words: bool = True) -> list[str]:
    """Lines of at most so many columns; a longer word is broken, or stands by itself."""
    if text.isascii():
        return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=breaks_words)
    lines: list[str] = []
    for word in text.split():
        if lines and display_width(lines[-1]) + 1 + display_width(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines += _pieces(word, max(width, 2)) if breaks_words else [word]
    return lines


def _pieces(word: str, width: int) -> Iterator[str]:
    while display_width(word) > width:
        head = _head(word, width)
        yield head
        word = word[len(head) :]
    yield word
