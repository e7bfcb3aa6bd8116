"""Whom to call under an agreement: the contacts of its text, each in its party's newest words since.

contacts_of(document, acts)
"""

from __future__ import annotations

from collections.abc import Iterable

from comity_policy.acts import Act, ActKind
from comity_policy.clauses import Authorities, Contact
from comity_policy.document import Document


def contacts_of(document: Document, acts: Iterable[Act]) -> tuple[Contact, ...]:
    """Give the contacts by party and role; a party changes and adds its own alone."""
    found = {
        (one.party, one.role): one
        for clause in document.clauses
        if isinstance(clause, Authorities)
        for one in clause.contacts
    }
    for act in sorted(acts, key=lambda one: one.log_index):
        if act.kind is ActKind.CONTACT:
            named = Contact(party=act.party, role=act.contact_role, name=act.name, contact=act.contact)
            found[act.party, act.contact_role] = named
    return tuple(found[key] for key in sorted(found))
