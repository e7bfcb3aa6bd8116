"""What must hold in each kind of clause: a text with every kind loads, and each fault is refused at its path and line."""

from __future__ import annotations

import pytest

from builders_every_kind import MORE, every_kind
from comity_policy.clauses import Clause, LevelRow, Window
from comity_policy.document import DocumentError, load

DOCUMENT = load(every_kind().encode())


def refused(clause_id: str, fields: str) -> tuple[str, str, str]:
    """Give path, the line's text and the problem of a clause that does not load."""
    text = every_kind({clause_id: fields})
    with pytest.raises(DocumentError) as caught:
        load(text.encode())
    return caught.value.path, text.splitlines()[caught.value.line - 1], caught.value.problem


def test_a_text_with_every_kind_of_clause_loads() -> None:
    kinds = {clause.__struct_config__.tag for clause in DOCUMENT.clauses}
    assert kinds == {kind.__struct_config__.tag for kind in Clause.__args__}


def test_fields_are_read_as_their_types() -> None:
    assert DOCUMENT.clause("26").from_levels == (LevelRow(party="XAR", level="CONFIDENTIAL"),)
    assert DOCUMENT.clause("25").window is Window.DAY
    assert DOCUMENT.clause("28").caveat == {"en": "For intelligence only."}


ROW = '{ party = "XAR", level = "SECRET", by = "courier" }'
OFFICERS = MORE["26"][1]
DATA = MORE["22"][1]
RETENTION = MORE["38"][1]

FAULTS = {
    "a row of no party": ("23", f'rows = [{ROW.replace("XAR", "XDE")}]', "rows[0].party", "no party of this agreement"),
    "a row of no level": ("23", f'rows = [{ROW.replace("SECRET", "GEHEIM")}]', "rows[0].level", "is no level of XAR"),
    "rows that descend": ("23", f'rows = [{ROW}, {ROW.replace("SECRET", "RESTRICTED")}]', "rows[1].level", "must be above 'SECRET'"),
    "a level twice": ("23", f"rows = [{ROW}, {ROW}]", "rows[1].level", "must be above 'SECRET'"),
    "no row of channels": ("23", "rows = []", "rows", "is empty"),
    "an unknown channel": ("23", f'rows = [{ROW.replace("courier", "pigeon")}]', "rows[0].by", "Invalid enum value"),
    "no row of copies": ("24", "rows = []", "rows", "is empty"),
    "a reader's level of nobody": ("37", 'officer_from = [{ party = "XAR", level = "GEHEIM" }]', "officer_from[0].level", "is no level of XAR"),
    "nobody of a receiving party needs to know": ("20", 'rows = [{ party = "XBO", offices = ["ct-desk"] }]', "rows", "there is no row for XAR, to which a scope grants"),
    "a party needs to know twice": ("20", 'rows = [{ party = "XBO", offices = ["ct-desk"] }, { party = "XAR", offices = ["ct-desk"] }, { party = "XBO", offices = ["cert"] }]', "rows[2].party", "already a row for XBO"),
    "a row that names nobody": ("20", 'rows = [{ party = "XBO" }, { party = "XAR", offices = ["ct-desk"] }]', "rows[0]", "names neither"),
    "an office nobody knows": ("20", 'rows = [{ party = "XBO", offices = ["kitchen"] }, { party = "XAR", offices = ["ct-desk"] }]', "rows[0].offices[0]", "unknown office 'kitchen'"),
    "a community nobody knows": ("20", 'rows = [{ party = "XBO", communities = ["kitchen"] }, { party = "XAR", offices = ["ct-desk"] }]', "rows[0].communities[0]", "unknown community 'kitchen'"),
    "another party's officer": ("20", 'rows = [{ party = "XBO", officers = ["XAR/officer1"] }, { party = "XAR", offices = ["ct-desk"] }]', "rows[0].officers[0]", "is no officer of XBO"),
    "no hop": ("21", "max_hops = 0", "max_hops", "must be 1 to 16"),
    "a pre-approval to nobody": ("21", 'max_hops = 1\npre_approved = [{ from = "XAR", to = "XDE", category = "terrorism" }]', "pre_approved[0].to", "no party"),
    "a pre-approval of nothing known": ("21", 'max_hops = 1\npre_approved = [{ from = "XAR", to = "XBO", category = "weather" }]', "pre_approved[0].category", "unknown category 'weather'"),
    "a pre-approval twice": ("21", 'max_hops = 1\npre_approved = [{ from = "XAR", to = "XBO", category = "drugs" }, { from = "XAR", to = "XBO", category = "drugs" }]', "pre_approved[1]", "is there already"),
    "data of nobody": ("22", DATA.replace("= 10", "= 0"), "persons_max", "must be 1 to"),
    "data for no purpose": ("22", DATA.replace('["counter-terrorism", "threat-to-life"]', "[]"), "purposes", "is empty"),
    "data for an unknown purpose": ("22", DATA.replace("threat-to-life", "trade"), "purposes[1]", "unknown purpose 'trade'"),
    "data reviewed after no time": ("22", DATA.replace("weeks = 52", "weeks = 0"), "review_every", "must be a positive length"),
    "data corrected before they were wrong": ("22", DATA.replace("days = 5", "days = -5"), "correct_within", "must be a positive length"),
    "a quota of no reports": ("25", MORE["25"][1].replace("= 200", "= 0"), "reports", "must be 1 to"),
    "a quota of no bytes": ("25", MORE["25"][1].replace("= 1000000", "= 0"), "bytes", "must be 1 to"),
    "a quota from nobody": ("25", MORE["25"][1].replace('"XAR"', '"XDE"'), "from", "no party"),
    "a quota of a month": ("25", MORE["25"][1].replace('"day"', '"month"'), "window", "Invalid enum value"),
    "one officer for dual control": ("26", OFFICERS.replace("officers = 2", "officers = 1"), "officers", "must be 2 to 16"),
    "dual control from no level": ("26", "from = []\nofficers = 2", "from", "is empty"),
    "an unknown precedence": ("27", "within = { URGENT = { minutes = 1 } }", "within[0]", "unknown precedence 'URGENT'"),
    "an acknowledgement of nothing": ("27", "within = {}", "within", "names no precedence"),
    "an acknowledgement in no time": ("27", "within = { FLASH = { minutes = 0 } }", "within.FLASH", "must be a positive length"),
    "stopped after no time": ("27", "within = { FLASH = { minutes = 1 } }\nstop_after = { days = 0 }", "stop_after", "must be a positive length"),
    "a caveat without words": ("28", 'caveat = {}\nevidence = "free"\naction_on = "free"', "caveat", "has no text in 'en'"),
    "a caveat in another language": ("28", 'caveat = { en = "a", xa = "b" }\nevidence = "free"\naction_on = "free"', "caveat.xa", "is not an authentic language"),
    "an empty caveat": ("28", 'caveat.en = " "\nevidence = "free"\naction_on = "free"', "caveat.en", "must not be empty"),
    "a marking that never lapses": ("29", "notice = { weeks = 6 }\nlapse_years = 0", "lapse_years", "must be 1 to 100"),
    "no notice": ("29", "notice = { weeks = 0 }\nlapse_years = 1", "notice", "must be a positive length"),
    "an emergency for nobody": ("30", "to = []\nonward = true\nreview_within = { hours = 1 }", "to", "is empty"),
    "an emergency for no party": ("30", 'to = ["XDE"]\nonward = true\nreview_within = { hours = 1 }', "to[0]", "no party"),
    "an emergency for somebody twice": ("30", 'to = ["XBO", "XBO"]\nonward = true\nreview_within = { hours = 1 }', "to[1]", "is there already"),
    "a review never": ("30", 'to = ["XBO"]\nonward = true\nreview_within = { hours = 0 }', "review_within", "must be a positive length"),
    "nothing survives": ("31", "clauses = []", "clauses", "is empty"),
    "what is not there survives": ("31", 'clauses = ["99"]', "clauses[0]", "unknown clause '99'"),
    "survival survives": ("31", 'clauses = ["31"]', "clauses[0]", "unknown clause '31'"),
    "oversight of nobody": ("32", 'oversight = [{ party = "XDE", body = "b", access = "a" }]', "oversight[0].party", "no party"),
    "a log kept for no time": ("32", "keep_log = { days = 0 }", "keep_log", "must be a positive length"),
    "a breach never reported": ("33", MORE["33"][1].replace("hours = 72", "hours = 0"), "initial_report", "must be a positive length"),
    "a dispute of no length": ("34", MORE["34"][1].replace("days = 30", "days = 0"), "consult", "must be a positive length"),
    "attested never": ("35", "attest_every = { days = 0 }", "attest_every", "must be a positive length"),
    "no authority": ("36", "contacts = []", "contacts", "is empty"),
    "an authority nobody can call": ("36", 'contacts = [{ party = "XAR", role = "r", name = "n", contact = "" }]', "contacts[0].contact", "must not be empty"),
    "fewer than no witnesses": ("38", RETENTION.replace("witnesses = 2", "witnesses = -1"), "witnesses", "must be 0 to 16"),
    "an end of no level": ("38", RETENTION.replace('"SECRET"', '"GEHEIM"'), "end[0].level", "is no level of XAR"),
    "a floor of nothing": ("39", "obligations = []", "obligations", "asks for nothing"),
    "a floor of an unknown obligation": ("39", 'obligations = ["use", "surrender"]', "obligations[1]", "unknown obligation 'surrender'"),
    "a floor that says something twice": ("39", 'obligations = ["use", "use"]', "obligations[1]", "is there already"),
    "a floor of an unknown suite": ("39", "suites = [3]", "suites[0]", "unknown suite 3"),
    "a floor of a version nobody speaks": ("39", "wire = [2]", "wire[0]", "unknown version of the wire protocol 2"),
    "a field nobody honours": ("35", "attest_every = { days = 1 }\nby = 1", "by", "unknown field"),
}  # fmt: skip


@pytest.mark.parametrize(("clause_id", "fields", "place", "problem"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_refused_at_its_place(clause_id: str, fields: str, place: str, problem: str) -> None:
    path, line, told = refused(clause_id, fields)
    assert path.endswith(f".{place}")
    assert problem in told
    assert place.split(".", maxsplit=1)[0].split("[", maxsplit=1)[0] in line


def test_an_exclusion_stands_in_a_caveat_only() -> None:
    text = every_kind() + '\n[[clause]]\nid = "99"\nkind = "exclude"\ntext.en = "No."\nkinds = ["plan"]\n'
    with pytest.raises(DocumentError, match="unknown clause kind 'exclude'"):
        load(text.encode())
