"""The glossary knows every type by its name, and each word that the project coined once."""

import re

import code_lists

WORDS, _, _ = code_lists.GLOSSARY.read_text().partition(code_lists.TYPES)
# Names that were given up: one thing had several of them, or nobody would look for it there.
GIVEN_UP = {
    *("Assessment", "Belongings", "Bearer", "Course", "Evidence", "Failure", "GroupShape", "Ground", "Mould", "Part"),
    *("Place", "Postponed", "Slim", "Terms", "Trouble", "Turn"),
}


def test_every_public_class_and_every_file_is_listed() -> None:
    assert code_lists.missing() == set(), "run hack/code_lists.py"


def test_each_of_them_says_what_it_is() -> None:
    found = [*code_lists.types(), *code_lists.files()]
    assert [
        f"{entry.place}: {entry.name}" for entry in found if not entry.meaning and entry.name != "__main__.py"
    ] == []


def test_no_class_has_a_name_that_was_given_up() -> None:
    assert {entry.name for entry in code_lists.types()} & GIVEN_UP == set()


def test_words_are_explained_once_and_in_order() -> None:
    terms = re.findall(r"^\| ([^|`]+?) \|", WORDS, re.MULTILINE)[1:]
    assert len(terms) > 20
    assert terms == sorted(terms, key=str.lower)
    words = [word for term in terms for word in term.split(", ")]
    assert len(words) == len(set(words))
