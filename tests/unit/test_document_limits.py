"""How much of each thing an agreement may have: a text of 1 MiB that a partner proposes is read in a time that is bounded too."""

from __future__ import annotations

import re
from datetime import date, timedelta
from importlib.resources import files

import pytest

from comity_policy.document import DocumentError, load

TEXT = (files("comity_policy") / "examples/xar-xbo-ct.toml").read_text(encoding="utf-8")
BEGIN, END = TEXT.index("[[equivalence]]"), TEXT.index("[[clause]]")
ROWS = re.compile(r"^rows = \[\n(?:    .*\n)+\]", re.MULTILINE)


def with_tables(count: int) -> bytes:
    """Give the text with so many tables of each direction, one a day."""
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(count)]
    tables = "".join(TEXT[BEGIN:END].replace("2026-01-01", str(day)) for day in days)
    return (TEXT[:BEGIN] + tables + TEXT[END:]).encode()


def with_levels(count: int) -> bytes:
    """Give the text with so many levels on both sides, the text's own at the top."""
    more = "".join(f'    ["L{number}", "L{number}"],\n' for number in range(count - 5))
    return (
        ROWS.sub(lambda rows: rows[0].replace("rows = [\n", f"rows = [\n{more}"), TEXT[:END]).encode()
        + TEXT[END:].encode()
    )


def with_parties(count: int) -> bytes:
    """Give the text with so many parties."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    codes = [f"{one}{other}Q" for one in letters for other in letters][: count - 2]
    more = "".join(
        f'[parties.{code}]\nname = "P"\nroot = "sha384:{number:096x}"\ntrust_domain = "{code.lower()}.example"\n'
        'jurisdiction = "P"\n\n'
        for number, code in enumerate(codes)
    )
    return TEXT.replace("[parties.XAR]", f"{more}[parties.XAR]", 1).encode()


def with_clauses(count: int) -> bytes:
    """Give the text with so many clauses, each of which names another."""
    more = count - len(load(TEXT.encode()).clauses)
    return (
        TEXT.encode()
        + "".join(
            f'\n[[clause]]\nid = "z{number}"\nkind = "survives"\ntext.en = "a"\nclauses = ["1"]\n'
            for number in range(more)
        ).encode()
    )


def test_what_people_need_loads():
    assert len(load(with_tables(16)).equivalences) == 32
    assert len(load(with_levels(64)).levels_of("XAR")) == 64
    assert len(load(with_clauses(1024)).clauses) == 1024


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (with_tables(17), "equivalence"),
        (with_tables(1_500), "at most 16 tables"),
        (with_levels(65), "equivalence"),
        (with_levels(20_000), "at most 64 levels"),
        (with_clauses(1_025), "clause"),
        (with_clauses(14_000), "at most 1024 clauses"),
        (with_parties(65), "parties"),
        (with_parties(670), "at most 64 parties"),
    ],
    ids=[
        "a table more",
        "far more tables",
        "a level more",
        "far more levels",
        "a clause more",
        "far more clauses",
        "a party more",
        "far more parties",
    ],
)
def test_more_than_that_is_refused_before_anything_is_compared(text, named):
    with pytest.raises(DocumentError, match=named) as caught:
        load(text)
    assert "at most" in caught.value.problem
