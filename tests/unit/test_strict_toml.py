"""What a hostile text may not do to whoever reads it: the time of reading is bounded."""

import pytest

from comity_policy.document import DocumentError, load
from comity_policy.groups import read as read_groups
from comity_policy.strict_toml import tables_of
from comity_policy.vocabulary import NAMES, VocabularyError
from comity_policy.vocabulary import read as read_vocabularies

ESCAPED = r'"\""'


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 400_000 + " = 1",
        "[" + "a." * 400_000 + "a]",
        "x = { a" + " . a" * 200_000 + " = 1 }",
        '"a"' + '."a"' * 200_000 + " = 1",
        ESCAPED + f".{ESCAPED}" * 150_000 + " = 1",
        "'a'" + ".'a'" * 200_000 + " = 1",
    ],
    ids=["bare", "a table", "with spaces", "quoted", "with escapes", "literal"],
)
def test_a_key_of_very_many_parts_is_refused_before_it_is_parsed(text: str) -> None:
    """The parser's time grows with the square of the parts: at this size it would run for hours."""
    with pytest.raises(DocumentError, match="too many parts"):
        load(b"# first\n" + text.encode())


def test_the_line_of_such_a_key_is_named() -> None:
    with pytest.raises(DocumentError, match="line 3, document"):
        load(b"# 1\n# 2\n" + b"a" + b".a" * 100 + b" = 1")


@pytest.mark.parametrize(
    "text",
    [
        *("a " * 400_000, '"' * 800_000, "." * 800_000, ("a" + " " * 40_000) * 20, "a" * 900_000),
        'a = "' + '\\"' * 400_000,
    ],
    ids=["words", "quotes", "dots", "spaces", "one word", "escaped quotes in a string that never ends"],
)
def test_looking_for_one_takes_no_longer_than_reading(text: str) -> None:
    with pytest.raises(DocumentError, match="is not TOML"):
        load(text.encode())


DEEP = b"listen = " + b"[" * 5_000 + b"]" * 5_000


def test_tables_nested_too_deep_are_refused_like_any_other_fault() -> None:
    with pytest.raises(DocumentError, match="nested too deep"):
        tables_of(DEEP)


@pytest.mark.parametrize(
    "read", [read_groups, lambda data: read_vocabularies(dict.fromkeys(NAMES, data))], ids=["groups", "words"]
)
def test_a_vocabulary_nested_too_deep_is_damaged(read) -> None:
    with pytest.raises(VocabularyError, match="nested too deep"):
        read(DEEP)
