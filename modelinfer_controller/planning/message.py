"""Messages as conditions and events may hold them: one line, nothing that a terminal would obey, not too long."""

MAX_BYTES = 1000  # of a condition's or an event's message; the API's own bound for events is 1 KiB
ELLIPSIS = "…"


def one_line(text: str) -> str:
    r"""The text with white space made single spaces, and other control characters escaped.

    >>> one_line("first\n\tsecond \x1b[31mred")
    'first second \\x1b[31mred'
    """
    return "".join(char if char.isprintable() else _escaped(char) for char in " ".join(text.split()))


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def cut(text: str, most: int = MAX_BYTES) -> str:
    """The beginning of the text, at most so many bytes of UTF-8.

    >>> cut("0123456789", 8)
    '01234…'
    """
    encoded = text.encode()
    if len(encoded) <= most:
        return text
    return encoded[: most - len(ELLIPSIS.encode())].decode(errors="ignore") + ELLIPSIS


def tail(text: str, most: int) -> str:
    """The end of the text, at most so many bytes of UTF-8. What a runtime says has its cause at the end.

    >>> tail("failed to create the task: no such file", 15)
    '…no such file'
    """
    encoded = text.encode()
    if len(encoded) <= most:
        return text
    return ELLIPSIS + encoded[len(encoded) - most + len(ELLIPSIS.encode()) :].decode(errors="ignore").lstrip()
