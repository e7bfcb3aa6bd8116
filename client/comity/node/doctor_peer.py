"""Whether the way to a partner is well, end to end, by the own verified mirror, once it was fetched.

What each finding is called, in this order: card, and for each agreement with the partner: agreement, nodes, capabilities, log, preview, delivered,
acknowledged, duties.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comity.errors import ErrorCode, NotFoundError
from comity.identity.records import NodeRecord
from comity.node.agreement_view import AgreementView
from comity.node.clock import NowMs
from comity.node.doctor import ENDS_SOON_MS
from comity.node.duties import duties_of
from comity.node.entries import MirroredEntry
from comity.node.examining import Findings, until
from comity.node.mirror import Mirror
from comity.node.offline import OfflineNode
from comity.node.previews import Preview
from comity.node.times import rfc3339
from comity.report import Report
from comity.suites import Suite
from comity_policy.abilities import able_words
from comity_policy.clauses import Purpose, Scope
from comity_policy.document import Document
from comity_policy.floors import floors
from comity_policy.obligations import DutyState

SAMPLE: Final = "This is a sample by which the way to a partner is examined. It is not sent."


@dataclass(frozen=True, slots=True)
class PeerDoctor:
    """Looks at the way from one node of this machine to a party."""

    node: OfflineNode
    peer: str
    findings: Findings
    now_ms: NowMs

    @property
    def mirror(self) -> Mirror:
        """Give the node's mirror."""
        return self.node.mirror

    def examine(self, agreement_id: str | None = None) -> None:
        """Look at the partner's card, and at every agreement with it, or the one named."""
        with self.findings.looking("card"):
            card = self.mirror.directory.card(self.peer)
            self.findings.ok("card", f"{self.peer} is {card.name}, root sha384:{card.root_fingerprint.hex()[:16]}...")
        between = [
            one
            for one in self.mirror.agreements()
            if self.peer in one.parties and agreement_id in (None, one.agreement_id)
        ]
        if not between:
            named = f"{agreement_id} with {self.peer}" if agreement_id else f"an agreement with {self.peer}"
            self.findings.failed(
                "agreement",
                NotFoundError(
                    f"there is no {named}, as far as this mirror verifies",
                    what_to_do="comity agreement list",
                    code=ErrorCode.AGREEMENT_UNKNOWN,
                ),
            )
        for view in between:
            self._agreement(view)

    def _agreement(self, view: AgreementView) -> None:
        name, findings = view.agreement_id, self.findings
        policy = view.state.policy()
        if not policy.in_force:
            findings.fail(
                "agreement",
                f"{name} is not in force: {policy.reason}",
                f"comity agreement show {name}",
                ErrorCode.AGREEMENT_NOT_IN_FORCE,
            )
        elif self.peer in policy.unbound:
            findings.fail(
                "agreement",
                f"{name} does not bind {self.peer}",
                f"comity agreement show {name}",
                ErrorCode.AGREEMENT_NOT_IN_FORCE,
            )
        elif policy.suspended_clauses:
            clauses = ", ".join(sorted(policy.suspended_clauses))
            findings.warn(
                "agreement", f"{name} is in force, clauses {clauses} are suspended", f"comity agreement show {name}"
            )
        else:
            findings.ok("agreement", f"{name} is in force, version {view.document.version}")
        self._nodes(name)
        self._capabilities(view)
        self._log(view)
        with findings.looking("preview"):
            self._preview(view)
        with findings.looking("delivered"):
            self._seen(name)

    def _nodes(self, name: str) -> None:
        now = self.now_ms()
        known = self.mirror.directory.nodes(self.peer)
        current = [one for one in known if self.mirror.directory.is_current(one, now)]
        if not current:
            self.findings.fail(
                "nodes",
                f"{name}: none of {len(known)} nodes of {self.peer} has keys that count",
                f"Ask {self.peer} to enrol its nodes, or to renew their keys.",
                ErrorCode.KEY_EXPIRED if known else ErrorCode.IDENTITY_UNKNOWN,
            )
            return
        words = "; ".join(_able(one, now) for one in current)
        ending = [one for one in current if one.valid_until - now < ENDS_SOON_MS]
        if len(ending) == len(current):
            self.findings.warn("nodes", f"{name}: {words}", f"Ask {self.peer} to renew the keys of its nodes.")
        else:
            self.findings.ok("nodes", f"{name}: {words}")

    def _capabilities(self, view: AgreementView) -> None:
        """Say what each node of both ends states that it can, and what of the floor, by clause, it does not reach."""
        own = self.node.identity
        asked = floors(view.compiled.source, view.own, self.peer)
        now = self.now_ms()
        theirs = [one for one in self.mirror.directory.nodes(self.peer) if self.mirror.directory.is_current(one, now)]
        reached = [self._reaches(view, own.party, own.name, asked)]
        reached += [self._reaches(view, one.party, one.node, asked) for one in theirs]
        words = "; ".join(told for told, _ in reached)
        below = [remedy for _, remedy in reached if remedy]
        floor = (
            f"{view.agreement_id} asks for {able_words(frozenset().union(*asked.values()))}"
            if asked
            else f"{view.agreement_id} sets no floor"
        )
        if not below:
            self.findings.ok("capabilities", f"{floor}: {words}")
        elif reached[0][1] or len(below) == len(theirs):
            # Nothing goes from a node below the floor, nor to a party that has no other.
            self.findings.fail("capabilities", f"{floor}: {words}", " ".join(below), ErrorCode.POLICY_DENIED)
        else:
            self.findings.warn("capabilities", f"{floor}: {words}", " ".join(below))

    def _reaches(
        self, view: AgreementView, party: str, node: str, asked: Mapping[str, frozenset[str]]
    ) -> tuple[str, str]:
        """Give what a node states, and how what it lacks is mended; the second is empty where it lacks nothing."""
        stated = self.mirror.directory.capabilities(party, node)
        can = frozenset[str]() if stated is None else stated.words
        clauses = [clause_id for clause_id, words in asked.items() if not words <= can]
        lacking = able_words(frozenset().union(*(asked[one] - can for one in clauses)))
        says = (
            "has stated nothing"
            if stated is None
            else f"{stated.body.software}, {len(stated.body.obligations)} obligations"
        )
        told = f"{party}/{node} {says}" + (f", cannot {lacking}" if clauses and stated is not None else "")
        if not clauses:
            return told, ""
        own = f"Renew the software of {party}/{node} and connect with it"
        who = own if party == view.own else f"{party} renews the software of {party}/{node}"
        return told, f"{who}, or both parties amend clause {', '.join(clauses)} of {view.agreement_id}."

    def _log(self, view: AgreementView) -> None:
        pin = self.mirror.pin(view.agreement_id)
        last = () if pin is None else self.mirror.entry_at(view.agreement_id, pin.size - 1)
        if not last:
            self.findings.failed("log", NotFoundError(f"no entry of the log of {view.agreement_id} is here"))
            return
        at_ms = last[0].shared()["time"]
        age = max(0, self.now_ms() - at_ms) // 1000
        words = f"{view.agreement_id}: verified to entry {last[0].log_index}, written {rfc3339(at_ms)}, {age} s ago"
        if view.admits:
            self.findings.ok("log", words)
        else:
            self.findings.fail(
                "log",
                f"{words}; not every party has signed it",
                "comity agreement sign",
                ErrorCode.AGREEMENT_NOT_IN_FORCE,
            )

    def _preview(self, view: AgreementView) -> None:
        above = () if view.umbrella is None else (view.umbrella.state.document,)
        sample = sample_of((view.document, *above), view.own, self.peer)
        if sample is None:
            self.findings.warn(
                "preview",
                f"{view.agreement_id} grants {view.own} nothing to send to {self.peer}",
                f"comity agreement show {view.agreement_id}",
            )
            return
        decided = self.node.preview(sample, agreement=view.agreement_id)
        gets = [one.node for one in decided.nodes if one.portions and one.node.startswith(f"{self.peer}/")]
        words = f"{view.agreement_id}: a sample marked {decided.banner}"
        if gets:
            self.findings.ok("preview", f"{words} would go to {', '.join(gets)}")
        else:
            self.findings.fail(
                "preview", f"{words} would not go: {_refused_by(decided)}", _remedy(decided), ErrorCode.POLICY_DENIED
            )

    def _seen(self, name: str) -> None:
        for kind, check, words in (
            ("DELIVERED", "delivered", "a report was handed over to"),
            ("ACKNOWLEDGED", "acknowledged", "a report was acknowledged by"),
        ):
            last = self._newest(name, kind)
            if last is None:
                self.findings.warn(check, f"{name}: never yet that {words} {self.peer}", "Send one: comity send.")
            else:
                recipient = last.own(self.mirror.party)["recipient"]
                at = rfc3339(last.shared()["time"])
                self.findings.ok(check, f"{name}: last {words} {recipient['party']}/{recipient['node']} at {at}")
        late = [
            one for one in duties_of(self.mirror, name, self.now_ms()).of(self.peer) if one.state is DutyState.OVERDUE
        ]
        if late:
            kinds = ", ".join(sorted({one.duty.kind.value for one in late}))
            self.findings.warn(
                "duties", f"{name}: {self.peer} is late with {len(late)} duties: {kinds}", f"comity duty contact {name}"
            )
        else:
            self.findings.ok("duties", f"{name}: {self.peer} is late with nothing")

    def _newest(self, name: str, kind: str) -> MirroredEntry | None:
        """Give the newest entry of a kind about a report of ours at the partner."""
        entries: Iterable[MirroredEntry] = reversed(self.mirror.entries_of(name, {kind}))
        return next((one for one in entries if _is_to(one.own(self.mirror.party), self.peer)), None)


def sample_of(documents: Sequence[Document], own: str, peer: str) -> Report | None:
    """Give a report that an agreement most likely lets go: the lowest level, the first category and purpose; None without a grant.

    `documents` are its text and then its umbrella's, which may say what the text leaves to it.
    """
    clauses = [clause for document in documents for clause in document.clauses]
    grants = (one for one in clauses if isinstance(one, Scope))
    grant = next((one for one in grants if (one.from_party, one.to_party) == (own, peer) and one.categories), None)
    tables = (one for document in documents for one in document.equivalences)
    table = next((one for one in tables if (one.from_party, one.to_party) == (own, peer)), None)
    if grant is None or table is None:
        return None
    purposes = next((one.purposes for one in clauses if isinstance(one, Purpose)), ())
    return Report.text(
        SAMPLE,
        marking=f"{table.levels[0]}//REL TO {', '.join(sorted((own, peer)))}",
        categories=[grant.categories[0]],
        purpose=purposes[0] if purposes else "",
        addressees=[peer],
    )


def _is_to(own: dict[str, Any], peer: str) -> bool:
    return bool(own) and own["recipient"]["party"] == peer


def _able(node: NodeRecord, now: int) -> str:
    suites = ", ".join(sorted({Suite(key.suite).name for key in node.keys if key.suite != Suite.X509}))
    level = "no accreditation" if node.accreditation is None else f"accredited to {node.accreditation.level}"
    return f"{node.identity} in {node.region}, {level}, {suites}, keys for {until(node.valid_until, now)} more"


def _refused_by(decided: Preview) -> str:
    clauses = ", ".join(dict.fromkeys(one.clause_id for one in decided.explanations))
    if clauses:
        return f"clauses {clauses}"
    return "nobody would get it" if decided.refusal is None else decided.refusal.message


def _remedy(decided: Preview) -> str:
    if decided.refusal is not None and decided.refusal.what_to_do:
        return decided.refusal.what_to_do
    return f"comity agreement show {decided.agreement_id}"
