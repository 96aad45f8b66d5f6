"""The glossary knows every type by its name, and each word that the project coined once."""

import re

import glossary

WORDS, _, TYPES = glossary.GLOSSARY.read_text().partition(glossary.HEADING)
# Names that were given up: one thing had several of them, or nobody would look for it there.
GIVEN_UP = {
    *("Assessment", "Belongings", "Bearer", "Course", "Evidence", "Failure", "GroupShape", "Ground", "Mould", "Part"),
    *("Place", "Postponed", "Slim", "Terms", "Trouble", "Turn"),
}


def test_every_public_class_is_in_the_glossary_with_its_meaning() -> None:
    listed = {(match[1], match[2]) for match in re.finditer(r"^\| `(\w+)` \| `([\w/.]+)` \| \S", TYPES, re.MULTILINE)}
    assert listed == {(entry.name, entry.file) for entry in glossary.entries()}, "run hack/glossary.py"
    assert [entry.name for entry in glossary.entries() if not entry.meaning] == []


def test_no_class_has_a_name_that_was_given_up() -> None:
    assert {entry.name for entry in glossary.entries()} & GIVEN_UP == set()


def test_words_are_explained_once_and_in_order() -> None:
    terms = re.findall(r"^\| ([^|`]+?) \|", WORDS, re.MULTILINE)[1:]
    assert len(terms) > 20
    assert terms == sorted(terms, key=str.lower)
    words = [word for term in terms for word in term.split(", ")]
    assert len(words) == len(set(words))
