"""What the parties hold an agreement to, whatever its clauses come to say: `[[invariant]]`, a closed set of kinds.

An invariant decides nothing. It is a promise about the clauses, signed with them, that a machine proves (`analysis.agreed`) each
time somebody checks the text: who amends a clause so that the promise no longer follows is shown a report that breaks it. An
umbrella's invariants are promises about its arrangements, and proved of each of them.

    [[invariant]]
    id = "no-names-abroad"
    kind = "never-personal-data"
    sort = "SPECIAL"
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from comity_policy.clauses import Span
from comity_policy.phrases import counted, joined, span_words, them


class BaseInvariant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """What every invariant has: a name of its own."""

    id: str


class NeverTo(BaseInvariant, frozen=True, tag="never-to"):
    """Nothing about one of these categories (or below) goes to this party."""

    party: str
    categories: tuple[str, ...]


class NeverAbove(BaseInvariant, frozen=True, tag="never-above", rename={"from_party": "from"}):
    """Nothing of this party above this level of it leaves."""

    from_party: str
    level: str


class NeverOnward(BaseInvariant, frozen=True, tag="never-onward", rename={"from_party": "from"}):
    """Nothing of this party goes on from anybody but itself; where `but_warnings`, save by a declared emergency."""

    from_party: str
    but_warnings: bool = False


class OnlyFor(BaseInvariant, frozen=True, tag="only-for"):
    """Nothing goes, or is opened, for another purpose than these."""

    purposes: tuple[str, ...]


class PersonalSort(StrEnum):
    """Which personal data are meant: special categories, or any."""

    SPECIAL = "SPECIAL"
    ANY = "ANY"


class NeverPersonalData(BaseInvariant, frozen=True, tag="never-personal-data"):
    """No personal data of this sort go to anybody."""

    sort: PersonalSort


class AlwaysApproved(BaseInvariant, frozen=True, tag="always-approved", rename={"from_party": "from"}):
    """Nothing of this party from this level on is admitted that fewer officers approved; unless an emergency is declared."""

    from_party: str
    level: str
    officers: int


class NeverLonger(BaseInvariant, frozen=True, tag="never-longer"):
    """Nothing goes that is valid longer than this after it was made."""

    longest: Span


Invariant = NeverTo | NeverAbove | NeverOnward | OnlyFor | NeverPersonalData | AlwaysApproved | NeverLonger


def invariant_gloss(invariant: Invariant) -> str:
    """Give one plain English sentence that states every field of the invariant."""
    match invariant:
        case NeverTo():
            words = f"{joined(invariant.categories, 'or')}, or anything below {them(invariant.categories)}"
            return f"Nothing about {words} in the tree of categories, ever goes to {invariant.party}."
        case NeverAbove():
            return f"Nothing of {invariant.from_party} above {invariant.level} ever goes."
        case NeverOnward(but_warnings=True):
            return (
                f"Nothing of {invariant.from_party} is ever passed on by anybody else, unless an emergency is declared and "
                "its originator marked it as a warning."
            )
        case NeverOnward():
            return f"Nothing of {invariant.from_party} is ever passed on by anybody else."
        case OnlyFor():
            return f"Nothing ever goes, or is opened, for another purpose than {joined(invariant.purposes, 'or')}."
        case NeverPersonalData(sort=PersonalSort.SPECIAL):
            return "No special categories of personal data ever go."
        case NeverPersonalData():
            return "No personal data ever go."
        case AlwaysApproved():
            return (
                f"Nothing of {invariant.from_party} from {invariant.level} on is ever admitted without the approval of "
                f"{counted(invariant.officers, 'officer')}, unless an emergency is declared."
            )
        case NeverLonger():
            return f"Nothing ever goes that is valid for longer than {span_words(invariant.longest)} after it was made."
