"""Well-formed labels of party XAR, drawn at random: every shape of disclosure, origin, TLP, PAP and category set."""

from __future__ import annotations

from hypothesis import strategies as st

from comity_policy.marking import CategoryKind, CategorySet, Label, Origin, OriginKind, Pap, Tlp

LEVELS = ("OPEN", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP SECRET")
PARTIES = ("XAR", "XBO", "XDE", "XFA")
OTHERS = PARTIES[1:]
TAGS = {"cell": CategoryKind.PERMISSIVE, "handling": CategoryKind.INFORMATIVE, "tier": CategoryKind.RESTRICTIVE}


def some(parties: tuple[str, ...] = OTHERS, least: int = 1) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(parties), min_size=least)


@st.composite
def disclosures(draw: st.DrawFn) -> tuple[frozenset[str], frozenset[str] | None, frozenset[str] | None]:
    """Dissemination words, REL TO and DISPLAY ONLY that exclude one another as they must."""
    orcon = draw(st.sampled_from((frozenset[str](), frozenset({"ORCON"}))))
    shape = draw(st.sampled_from(("none", "national-only", "relido", "rel", "rel+relido", "display", "rel+display")))
    words, released, displayed = orcon, None, None
    if shape == "national-only":
        words |= {"NATIONAL-ONLY"}
    if "relido" in shape:
        words |= {"RELIDO"}
    if "rel" in shape.split("+"):
        released = draw(some()) | {"XAR"}
    if "display" in shape:
        displayed = draw(some()) - (released or frozenset()) or None
    return words, released, displayed


@st.composite
def labels(draw: st.DrawFn, *, categories: bool = True) -> Label:
    words, released, displayed = draw(disclosures())
    origin = draw(
        st.one_of(
            st.just(Origin()),
            some().map(lambda parties: Origin(OriginKind.FGI, parties)),
            some().map(lambda parties: Origin(OriginKind.JOINT, parties | {"XAR"})),
        )
    )
    values = st.none() | st.frozensets(st.sampled_from(("XBO", "XDE", "a")))
    sets = [CategorySet(tag, kind, draw(values)) for tag, kind in TAGS.items() if categories and draw(st.booleans())]
    return Label(
        "XAR",
        draw(st.sampled_from(LEVELS)),
        words,
        released,
        displayed,
        origin,
        draw(st.none() | st.sampled_from(Tlp)),
        draw(st.none() | st.sampled_from(Pap)),
        tuple(sets),
        draw(st.sampled_from((0, 0, 5, 9))),
    )
