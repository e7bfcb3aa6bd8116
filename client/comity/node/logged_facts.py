"""Facts that a decision's record states and the log itself knows: declarations, quotas' windows, what is overdue, the moment.

Rules in order:
1. A declaration counts from its entry until `valid_until`, for reports of its own party that name it by its digest, as long as its
   officer is in office by the key log. A broker may know of it a moment late (`ORDER_MS`), never before its entry and never without
   one.
2. Windows of quotas: `logged_windows`. Late acknowledgements: `logged_duties`.
3. What sender and recipients state that they can: `logged_abilities`.
4. A segment is decided between its arrival and its entry; a report has the size that its manifest gives it.
5. What differs is a fault of the decision, what was not presented a gap of it; nothing that was not compared counts as the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from comity.errors import VerificationError
from comity.node.directory import ORDER_MS
from comity.node.logged_abilities import compare_abilities
from comity.node.logged_duties import LoggedDuties
from comity.node.logged_entries import SUBMISSIONS, LoggedEntry, slots_in
from comity.node.logged_life import LoggedLife
from comity.node.logged_offices import Offices
from comity.node.logged_windows import LoggedWindows
from comity.statement import from_json
from comity_policy.act_rules import valid_declaration
from comity_policy.acts import Act, ActError
from comity_policy.document import Document
from comity_policy.facts import Profile
from comity_policy.recorded import Difference, Gap, Missing, Recorded, What
from comity_policy.sources import Source

_DECLARED = "EMERGENCY_DECLARED"


@dataclass(slots=True)
class _Declarations:
    """The declarations of one log, by their digest."""

    offices: Offices | None
    _declared: dict[bytes, tuple[Act, bytes]] = field(default_factory=dict)
    _unseen: Gap | None = None

    def take(self, entry: LoggedEntry) -> None:
        """Take the next entry; raises VerificationError for a declaration that does not read."""
        if entry.kind != _DECLARED:
            return
        if not entry.shared:
            self._unseen = entry.unseen
            return
        statement = from_json(entry.shared["statement"])
        try:
            act = Act.from_body(statement.fields, digest=statement.digest.hex(), at_ms=entry.shared["time"])
        except ActError as error:
            raise VerificationError(f"its declaration does not read: {error}") from error
        self._declared[statement.digest] = act, statement.signatures[0].key

    def compare(self, entry: LoggedEntry, recorded: Recorded) -> Difference | Gap | None:
        """Hold whether an emergency was declared, by the record, against the log."""
        said, profile = recorded.moment.emergency_declared, recorded.profile
        if not said and not profile.emergency:
            return None
        if profile.emergency and profile.emergency not in self._declared and self._unseen is not None:
            return self._unseen
        possible = self._possible(profile, recorded.moment.now, entry.shared["key_log_size"])
        if possible is None:
            return Gap(Missing.KEYS, "the key log, by which who declared was in office")
        if said in possible:
            return None
        was, is_now = ("yes", "no") if said else ("no", "yes")
        return Difference(What.FACT, f"emergency_declared is {was}, by the log {is_now}")

    def _possible(self, profile: Profile, now_ms: int, key_log_size: int) -> frozenset[bool] | None:
        """Give what a broker may have answered at that time, None where nobody can say."""
        act, key = self._declared.get(profile.emergency, (None, b""))
        if act is None or not valid_declaration(act, profile.originator.party, now_ms):
            return frozenset({False})
        if self.offices is None:
            return None
        just_now = {False} if act.at_ms > now_ms - ORDER_MS else set[bool]()
        return self.offices.held(act, key, now_ms, key_log_size) | just_now


class LoggedFacts:
    """The facts of one log, whose entries come in their order; `life` has taken the same ones, `documents` are the texts held.

    `offices` is what the key log says of who was in office, None where it is not here. In an exercise nothing is owed.
    """

    def __init__(
        self, life: LoggedLife, documents: Mapping[bytes, Document], offices: Offices | None, *, exercise: bool = False
    ) -> None:
        self._offices = offices
        self._owes = not exercise
        self._declarations = _Declarations(offices)
        self._windows = LoggedWindows()
        self._duties = LoggedDuties.of(life, documents.values())

    def take(self, entry: LoggedEntry) -> None:
        """Take the next entry; of a segment `begin` and `end` tell the rest."""
        self._windows.pass_by(entry)
        self._declarations.take(entry)
        if self._owes:
            self._duties.take(entry)
        if entry.kind in SUBMISSIONS and not entry.shared:
            self._windows.miss(entry)

    def begin(
        self, entry: LoggedEntry, source: Source | None, decisions: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> None:
        """Take a segment's decisions, by the party whose body has them, before they are compared."""
        if source is not None:
            self._windows.begin(entry, source, decisions)

    def compare(  # noqa: PLR0917 - one decision, and what is known of it
        self,
        entry: LoggedEntry,
        reader: str,
        said: Mapping[str, Any],
        recorded: Recorded,
        source: Source | None,
        known: Sequence[Difference | Gap] = (),
    ) -> Recorded:
        """Give a decision of the segment, as its reader was told, with what in it is not as the log has it, or cannot be held against it.

        `known` is what was found before, and stands first.
        """
        found = [
            *known,
            _decided_then(entry, recorded),
            _sized(entry, said, recorded),
            self._declarations.compare(entry, recorded),
            self._duties.compare(recorded),
            compare_abilities(self._offices, entry, recorded, source),
        ]
        if source is not None:
            found.append(self._windows.compare(entry, reader, said["slots"], recorded, source))
        return _with_found(recorded, *found)

    def end(self, entry: LoggedEntry, source: Source | None) -> None:
        """Count what the segment reserved."""
        if source is None:
            self._windows.miss(entry)
        else:
            self._windows.end(entry, source)


def _with_found(recorded: Recorded, *found: Difference | Gap | None) -> Recorded:
    """Give a recorded decision with more faults and gaps."""
    if not any(found):
        return recorded
    faults = tuple(one for one in found if isinstance(one, Difference))
    gaps = tuple(one for one in found if isinstance(one, Gap))
    return replace(recorded, faults=(*recorded.faults, *faults), gaps=(*recorded.gaps, *gaps))


def _decided_then(entry: LoggedEntry, recorded: Recorded) -> Difference | None:
    now_ms, received_at, entered_at = recorded.moment.now, entry.shared["received_at"], entry.shared["time"]
    if received_at - ORDER_MS <= now_ms <= entered_at:
        return None
    return Difference(
        What.FACT, f"now is {now_ms}, while the segment came at {received_at} and was entered at {entered_at}"
    )


def _sized(entry: LoggedEntry, said: Mapping[str, Any], recorded: Recorded) -> Difference | None:
    size, manifests = recorded.moment.size, entry.manifests
    if size is None or not manifests:
        return None
    for slot in slots_in(said["slots"]):
        one = manifests[slot].size if slot in manifests else None
        if one is not None and one != size:
            return Difference(What.FACT, f"size is {size}, by the manifest of slot {slot} {one}")
    return None
