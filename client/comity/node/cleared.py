"""What the egress decision let go: a report with what is signed, what is sealed, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from comity.canonical import Json
from comity.envelope.core import Reference
from comity.envelope.run_form import PortionInput
from comity.envelope.seal import Recipient
from comity.light import light
from comity.node.agreement_view import AgreementView
from comity.portion import StoredContent
from comity_policy.facts import Profile, Times


@dataclass(frozen=True, slots=True)
class StoredPortion:
    """A portion whose content lies in a file: what is sealed with it, and where it is."""

    header: Mapping[str, Json]
    content: StoredContent


@light
class Cleared:
    """A report that may go: what is signed, what is sealed, and for whom. `nodes` are PARTY/NODE in the recipients' order."""

    view: AgreementView
    profile: Profile
    times: Times
    refers_to: tuple[Reference, ...]
    portions: tuple[PortionInput | StoredPortion, ...]
    recipients: tuple[tuple[Recipient, tuple[int, ...]], ...]
    nodes: tuple[tuple[str, tuple[int, ...]], ...]
    refused_parties: tuple[str, ...]

    @property
    def has_attachments(self) -> bool:
        """Say whether anything of it travels beside its segment."""
        return StoredPortion in map(type, self.portions)

    @property
    def parties(self) -> frozenset[str]:
        """Give the parties that get something of it."""
        return frozenset(one.party for one, _ in self.recipients)

    def but(self, parties: frozenset[str]) -> Cleared:
        """Give it without some parties, which are refused."""
        if not parties:
            return self
        return replace(
            self,
            recipients=tuple(one for one in self.recipients if one[0].party not in parties),
            nodes=tuple(one for one in self.nodes if one[0].partition("/")[0] not in parties),
            refused_parties=(*self.refused_parties, *sorted(self.parties & parties)),
        )
