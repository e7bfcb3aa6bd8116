"""What differs between two texts, in words, and which way each change goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_engine import CLAUSES, DIGEST, TEXT, VOCABULARIES, document_of
from builders_treaties import IN_FORCE, arrangement, caveat, umbrella
from comity_policy import clauses as kinds
from comity_policy.analysis.diff import Directed, Direction, diff
from comity_policy.caveat import Caveat
from comity_policy.clauses import Clause, Exclude, Span
from comity_policy.diff import Change, Status, compare
from comity_policy.document import Document
from comity_policy.facts import Kind
from comity_policy.lowering import Source, source_of

LATER = b"e" * 48


def with_clause(clause_id: str, **fields: object) -> tuple[Clause, ...]:
    return tuple(_with(one, fields) if one.id == clause_id else one for one in CLAUSES)


def _with(clause: Clause, fields: dict[str, object]) -> Clause:
    given = {name: getattr(clause, name) for name in clause.__struct_fields__} | fields
    made: Clause = type(clause)(**given)
    return made


def of_kind(kind: type) -> Clause:
    return next(one for one in CLAUSES if isinstance(one, kind))


def told(before: Document, after: Document) -> dict[str, Change]:
    return {one.article: one for one in compare(before, after) if one.status is not Status.UNCHANGED}


def source(document: Document, digest: bytes = DIGEST, *caveats: Caveat) -> Source:
    return source_of(document, digest, IN_FORCE, VOCABULARIES, caveats=caveats)


def directed(before: Source, after: Source) -> dict[str, Directed]:
    return {
        one.change.id: one for one in diff(before, after, VOCABULARIES) if one.change.status is not Status.UNCHANGED
    }


def retention(days: int) -> tuple[Clause, ...]:
    return with_clause(of_kind(kinds.Retention).id, longest=Span(days=days))


def test_articles_are_named_as_lawyers_write_them() -> None:
    assert [Change("clause", one, Status.ADDED).article for one in ("3", "3.1", "A-1.2.b")] == [
        "Art. 3",
        "Art. 3(1)",
        "Art. A-1(2)(b)",
    ]
    assert Change("duration", "", Status.CHANGED).article == "[duration]"


def test_a_changed_field_is_told_with_what_it_was() -> None:
    limit = kinds.CeilingLimit(from_party="XAR", to_party="XBO", level="SECRET")
    lower = kinds.CeilingLimit(from_party="XAR", to_party="XBO", level="CONFIDENTIAL")
    before = document_of((kinds.Ceiling(id="3.1", text=TEXT, limits=(lower,)),))
    after = document_of((kinds.Ceiling(id="3.1", text=TEXT, limits=(limit,)),))
    (change,) = told(before, after).values()
    assert (change.article, change.words) == ("Art. 3(1)", ("from XAR to XBO up to SECRET, was CONFIDENTIAL",))
    assert "nothing above CONFIDENTIAL" in change.gloss_before
    assert "nothing above SECRET" in change.gloss_after


def test_words_of_lists_spans_and_maps_say_what_came_and_went() -> None:
    scope = kinds.Scope(
        id="1", text=TEXT, from_party="XAR", to_party="XBO", categories=("terrorism",), kinds=("report",)
    )
    other = kinds.Scope(
        id="1", text=TEXT, from_party="XAR", to_party="XBO", categories=("cyber",), kinds=("report", "rfi")
    )
    late = kinds.Acknowledge(id="2", text=TEXT, within={"FLASH": Span(hours=1)}, stop_after=None)
    soon = kinds.Acknowledge(id="2", text=TEXT, within={"FLASH": Span(minutes=30)}, stop_after=Span(days=2))
    found = told(document_of((scope, late)), document_of((other, soon)))
    assert found["Art. 1"].words == (
        "categories now also cyber",
        "categories no longer terrorism",
        "kinds now also rfi",
    )
    assert found["Art. 2"].words == ("within FLASH 30 minutes, was 1 hour", "stop after 2 days, was nothing")


def test_another_text_alone_is_reworded_and_decides_nothing() -> None:
    reworded = with_clause(CLAUSES[0].id, text={"en": "In other words."})
    before, after = document_of(CLAUSES), document_of(reworded)
    assert [one.status for one in told(before, after).values()] == [Status.REWORDED]
    assert directed(source(before), source(after, LATER))[CLAUSES[0].id].direction is Direction.UNCHANGED


def test_added_and_removed_clauses_stand_where_they_are_or_were() -> None:
    new = kinds.Article(id="99", text=TEXT, topic="costs")
    before, after = document_of(CLAUSES), document_of((CLAUSES[0], new, *CLAUSES[2:]))
    order = [(one.id, one.status) for one in compare(before, after) if one.part == "clause"][:3]
    assert order == [
        (CLAUSES[0].id, Status.UNCHANGED),
        (CLAUSES[1].id, Status.REMOVED),
        ("99", Status.ADDED),
    ]


def test_changed_sections_are_told() -> None:
    before = document_of(CLAUSES)
    brokers = {**before.brokers, "two": replace_region(before)}
    found = told(before, replace(before, title="Another", version=2, brokers=brokers))
    assert found["[agreement]"].words[-1] == "version 2, was 1"
    assert found["[brokers] two"].status is Status.ADDED


def replace_region(document: Document):  # type: ignore[no-untyped-def]  # the section's own type
    one = next(iter(document.brokers.values()))
    return type(one)(operator=one.operator, region="xde")


@pytest.mark.parametrize(("days", "direction"), [(31, Direction.RELAXED), (29, Direction.TIGHTENED)])
def test_a_longer_keeping_relaxes_and_a_shorter_one_tightens(days: int, direction: Direction) -> None:
    before, after = source(document_of(retention(30))), source(document_of(retention(days)), LATER)
    (one,) = directed(before, after).values()
    assert one.direction is direction


def test_a_change_may_go_both_ways() -> None:
    scope = of_kind(kinds.Scope)
    other = with_clause(scope.id, categories=("cyber",))
    (one,) = directed(source(document_of(CLAUSES)), source(document_of(other), LATER)).values()
    assert one.direction is Direction.BOTH
    assert one.relaxation is not None
    assert one.relaxation.profile.kind in set(Kind)
    assert "cyber" in one.relaxation.words or one.relaxation.profile.categories


def test_a_grant_that_only_moved_to_another_article_is_no_relaxation() -> None:
    scope = of_kind(kinds.Scope)
    moved = tuple(_with(one, {"id": "77"}) if one is scope else one for one in CLAUSES)
    found = directed(source(document_of(CLAUSES)), source(document_of(moved), LATER))
    assert {name: (one.change.status, one.direction) for name, one in found.items()} == {
        scope.id: (Status.REMOVED, Direction.UNCHANGED),
        "77": (Status.ADDED, Direction.UNCHANGED),
    }


def test_two_limits_that_are_raised_together_are_both_relaxations() -> None:
    low, high = (kinds.Retention(id=one, text=TEXT, longest=Span(days=30)) for one in ("8", "8-bis"))
    rest = tuple(one for one in CLAUSES if not isinstance(one, kinds.Retention))
    longer = tuple(_with(one, {"longest": Span(days=40)}) for one in (low, high))
    found = directed(source(document_of((*rest, low, high))), source(document_of((*rest, *longer)), LATER))
    assert {name for name, one in found.items() if one.direction is Direction.RELAXED} == {"8", "8-bis"}


def test_a_caveat_that_does_not_carry_over_is_a_relaxation() -> None:
    document = document_of(CLAUSES)
    narrowed = caveat(Exclude(id="1", text=TEXT, categories=("terrorist-finance",)))
    found = directed(source(document, DIGEST, narrowed), source(document, LATER))
    assert found["XAR/C1"].direction is Direction.RELAXED


def test_another_umbrella_is_compared_as_well() -> None:
    looser = umbrella(tuple(one for one in umbrella().document.clauses if not isinstance(one, kinds.Retention)))
    before, after = (
        source_of(arrangement(), digest, IN_FORCE, VOCABULARIES, umbrella=above)
        for digest, above in ((DIGEST, umbrella()), (LATER, replace(looser, digest=b"v" * 48)))
    )
    (one,) = (one for one in diff(before, after, VOCABULARIES) if one.change.part == "umbrella")
    assert one.direction is Direction.RELAXED
