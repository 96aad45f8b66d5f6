"""What a condition or an event may hold."""

import pytest

from modelinfer_controller.planning.message import cut, one_line, tail


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", ""), (" a\n b ", "a b"), ("tab\there", "tab here"), ("\x1b[31mred\x07", "\\x1b[31mred\\x07"), ("é…", "é…")],
)
def test_a_message_is_one_line_that_no_terminal_obeys(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize("most", range(3, 12))
def test_neither_end_of_a_text_is_longer_than_allowed_nor_cut_within_a_character(most: int) -> None:
    text = "ähöü012345"
    for short in (cut(text, most), tail(text, most)):
        assert len(short.encode()) <= most
        assert "�" not in short


def test_what_fits_is_left_as_it_is() -> None:
    assert cut("0123456789", 10) == tail("0123456789", 10) == "0123456789"
    assert cut("0123456789", 9) == "012345…"
    assert tail("0123456789", 9) == "…456789"
