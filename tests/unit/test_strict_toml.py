"""What a hostile text may not do to whoever reads it: the time of reading is bounded."""

import pytest

from comity_policy.document import DocumentError, load

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
    "text", ["a " * 400_000, '"' * 800_000, "." * 800_000, ("a" + " " * 40_000) * 20, "a" * 900_000]
)
def test_looking_for_one_takes_no_longer_than_reading(text: str) -> None:
    with pytest.raises(DocumentError, match="is not TOML"):
        load(text.encode())
