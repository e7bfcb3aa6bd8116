"""What `report list` and `report show` say of reports after their hand-over: read or not, due when, whom to call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import comity
from comity.cli.base import now_ms
from comity.cli.output import safe
from comity.errors import ComityError
from comity.node.handled import Handled, Said, handled
from comity.node.reports import ReportRow
from comity.node.times import rfc3339


def handled_of(node: comity.Node, rows: Iterable[ReportRow]) -> Mapping[UUID, Sequence[Handled]]:
    """Give where listed reports stand at each party, by the node's mirror; nothing of an agreement that it cannot fold."""
    admissions: dict[str, dict[UUID, int]] = defaultdict(dict)
    for row in rows:
        admissions[row.agreement_id][row.report_id] = row.log_index
    found: dict[UUID, list[Handled]] = defaultdict(list)
    for agreement_id, named in admissions.items():
        try:
            for one in handled(node.mirror, agreement_id, named, now_ms()):
                found[one.report_id].append(one)
        except ComityError:
            # What stops the agreement is told where it is asked for; the broker's list stands without it.
            continue
    return found


def handled_words(one: Handled) -> str:
    """Give one report at one party in a line."""
    delivered = f"{one.party}: delivered {rfc3339(one.handed_ms)}"
    if one.read is not None:
        late = f", {_minutes(one.read.at_ms - (one.due_ms or 0))} late" if one.read_late else ""
        return f"{delivered}, read {rfc3339(one.read.at_ms)} by {one.read.officer} ({one.read.role}){late}"
    if one.due_ms is None:
        return f"{delivered}; no time to read it is set"
    due = f"reading was due {rfc3339(one.due_ms)}" if one.overdue else f"reading is due {rfc3339(one.due_ms)}"
    words = f"{delivered}, nobody has read it; {due}"
    contact = one.now_alerting
    if contact is not None:
        which = "contact" if one.alerting == 1 else "next contact"
        words += f"; by the agreement now alerting the {which}: {contact.role}, {contact.name}, {contact.contact}"
    return safe(words)


def reading_words(one: Handled) -> str:
    """Give whether a party has read a report, in a few words for a list."""
    if one.read is not None:
        return f"{one.party} read {rfc3339(one.read.at_ms)}{' LATE' if one.read_late else ''}"
    return f"{one.party} {'UNREAD, was due' if one.overdue else 'unread, due'} {rfc3339(one.due_ms or 0)}"


def action_words(one: Said) -> str:
    """Give what an officer says that was done."""
    note = f": {one.note}" if one.note else ""
    return safe(f"acted on {rfc3339(one.at_ms)} by {one.officer} ({one.role}){note}")


def handled_facts(one: Handled) -> dict[str, object]:
    """Give the same as JSON."""
    contact = one.now_alerting
    return {
        "party": one.party,
        "precedence": one.precedence.name,
        "delivered_at": rfc3339(one.handed_ms),
        "reading_due": None if one.due_ms is None else rfc3339(one.due_ms),
        "overdue": one.overdue,
        "read": None if one.read is None else _said_facts(one.read),
        "read_late": one.read_late,
        "actions": [{**_said_facts(said), "note": said.note} for said in one.actions],
        "alerting": None
        if contact is None
        else {"contact": one.alerting, "role": contact.role, "name": contact.name, "reach": contact.contact},
    }


def _said_facts(said: Said) -> dict[str, object]:
    return {"at": rfc3339(said.at_ms), "officer": said.officer, "role": said.role}


def _minutes(milliseconds: int) -> str:
    minutes = milliseconds // 60_000
    return f"{minutes} minutes" if minutes >= 2 else f"{max(1, milliseconds // 1000)} s"
