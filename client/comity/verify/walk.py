"""One agreement's log, walked entry by entry in its order, which is the order of effect (docs/verification.md names each check).

Text, roots and key log come first: without them nothing signed can be judged. Then the opening, the revocations, and every entry; what
receipts and envelopes are held against afterwards stays in `segments`.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from comity.verify.bundle import Code, Entry, Log, Report, read_file
from comity.verify.chain import EXERCISE, Chain
from comity.verify.exercise import Exercise, check_class, is_exercise
from comity.verify.handled import Handed
from comity.verify.keys import Key, KeyLog, Listing, Statement
from comity.verify.numbering import Numbering
from comity.verify.records import read, require
from comity.verify.segments import Node, Segment
from comity.verify.steps import Versions
from comity.verify.table import ACTS, LANE, SHARED, STEPS, SUBMITS, read_json, slots_of
from comity.verify.taken_back import TakenBack
from comity.verify.texts import STEP_TYPES, Texts

_pairs = list[tuple[int, int]]
_CAME_PRUNED, _GRACE_MS, _LATE_MS = 6, 30_000, 60_000


class AgreementLog:
    """One agreement's log under its text, its parties' roots and its broker's key log; making one makes the checks.

    `judged` says whether the checks could be made, `blind` whether a shared body was missing.
    """

    def __init__(self, folder: Path, log: Log, logs: Iterable[Log], roots: Mapping[str, str]) -> None:
        self.folder, self.log, self.keys = folder, log, KeyLog()
        self.segments: dict[str, Segment] = {}
        self._compromised: dict[bytes, int] = {}
        self._places, self._changes, self._above = _pairs(), _pairs(), _pairs()
        self._delivered: dict[tuple[Node, str, str], set[int]] = {}
        self._numbering, self._time, self.blind, self._deaf = Numbering(), 0, False, False
        self._logs = tuple(logs)
        self._umbrella_at: int | None = None
        self.exercise: Exercise | None = None
        self._report = log.report
        self._versions, self._taken_back, self._handed = Versions(), TakenBack(), Handed()
        self._suspended, found = set[str](), len(log.report.findings)
        with self.expect(Code.CONTINUES):
            self.chain = Chain(log, self._logs)
        self.judged = len(log.report.findings) == found
        if not self.judged:
            return
        with self.expect(Code.AGREEMENT):
            self._read_agreement()
            with self.expect(Code.ROOTS):
                self._read_roots(roots)
                with self.expect(Code.KEY_LOG):
                    name = f"{self.host}/keys/{log.origin.split('/')[3]}"
                    (self.key_log,) = (one for one in self._logs if one.origin == name)
                    self.key_chain = Chain(self.key_log, self._logs)
                    self._fold()
        if is_exercise(log):
            with self.expect(Code.EXERCISE):
                self.exercise = Exercise(log, self._logs)
        self.judged = len(log.report.findings) == found
        if not self.judged:
            return
        for one in (self.chain, self.key_chain):
            with self.expect(Code.LOG_OPENED):
                one.check_terms(self.terms["agreement"])
            with self.expect(Code.CONTINUES):
                one.check(key for listing in self.keys.listings[self.broker] for key in listing.keys.values())
        with self.expect(Code.LOG_KEYS):
            listed = {key.public for key in self.keys.listings[self.broker][-1].keys.values() if key.role == "log"}
            used = {key.bare for one in (log, self.key_log) for key in one.policy.logs}
            require(used <= listed, "the broker's newest bundle lists other log keys")
        with self.expect(Code.KEY_STATUS):
            self._read_revocations()
        for entry in self.chain.entries:
            self._walk(entry, entry.shared)

    def expect(self, code: Code, entry: Entry | None = None) -> AbstractContextManager[None]:
        """Make a check of this log, or of an entry of it."""
        return self._report.expect(code, self.log.origin, None if entry is None else entry.index)

    def counting(self, entry: Entry, key: bytes, role: str) -> tuple[Listing, Key]:
        """Give whose key that is, if it counts where this entry stands; raises FormError."""
        return self.keys.counting(key, role, entry.shared["key_log_size"], entry.shared["time"])

    def judge(self, entry: Entry, key: Key) -> None:
        """Judge a key that counted when it signed what this entry holds by a revocation that came later."""
        compromised_at = self._compromised.get(key.fingerprint, 0)
        with self.expect(Code.CONTESTED, entry):
            require(not 0 < compromised_at <= entry.shared["time"], "signed after the claimed compromise of the key")

    # --- before the walk --------------------------------------------------------------------------------------------

    def _read_agreement(self) -> None:
        opened, self.host = self.chain.entries[0], self.log.origin.split("/")[0]
        require(opened.kind == "LOG_OPENED" and opened.shared, "entry 0 does not open the log, or was not presented")
        self.terms = opened.shared
        self.texts = Texts(self.folder, self.terms["agreement_digest"], self.log.report)
        document = self.document = self.texts.document
        name = self.host.split(".")[0]
        self.broker = document["brokers"][name]["operator"], name
        hosted = f"{name}.{document['parties'][self.broker[0]]['trust_domain']}" == self.host
        same = document["agreement"]["id"] == self.terms["agreement"] == self.log.origin.split("/")[2]
        same = same and sorted(document["parties"]) == self.log.parties
        require(same and hosted, "the text is of another agreement, names another broker, or other parties")

    def _read_roots(self, roots: Mapping[str, str]) -> None:
        for party, said in self.document["parties"].items():
            card = Statement(read_json(read_file(self.folder / f"parties/{party}.json") or b"")["card"])
            self.keys.trust(card)
            root = f"sha384:{self.keys.cards[party][1].fingerprint.hex()}"
            require(root == said["root"] == roots.get(party, root), f"the root of {party} is not the one pinned")
            same = card.fields["party"] == party and card.fields["trust_domain"] == said["trust_domain"]
            require(same, f"the card of {party} is another party's, or of another trust domain")

    def _fold(self) -> None:
        require(self.key_log.entries, "the key log could not be read")
        for entry in self.key_chain.entries:
            with self.log.report.expect(Code.KEY_LOG, self.key_log.origin, entry.index):
                require(entry.shared, "an entry of the key log was not presented")
                if "statement" in entry.shared and entry.kind != "CONTINUES":
                    one = Statement(entry.shared["statement"])
                    kinds = {"revocation": "KEY_REVOKED", "node-capabilities": "CAPABILITIES_STATED"}
                    named = kinds.get(one.fields["type"])
                    require(entry.kind == named if named else entry.kind not in kinds.values(), "another statement")
                    self.keys.apply(entry.index, entry.shared["time"], one)
                    self._changes.append((entry.index, entry.shared["time"]))

    def _read_revocations(self) -> None:
        mine = [(entry, entry.index) for entry in self.chain.entries if entry.kind == "KEY_REVOKED"]
        for entry, at in mine if self.exercise is None else self.exercise.revocations(self.chain.entries):
            if entry.shared:
                place, fields = entry.shared["key_log_index"], Statement(entry.shared["statement"]).fields
                same = self.key_chain.entries[place].shared["statement"] == entry.shared["statement"]
                require(same, "a revocation is not the one the key log has there")
                self._compromised[bytes.fromhex(fields["key"])] = fields["compromised_at"]
                self._places.append((place, at))

    # --- entry by entry ---------------------------------------------------------------------------------------------

    def _walk(self, entry: Entry, body: dict[str, Any]) -> None:
        own = {party: told for party, told in entry.bodies.items() if party != SHARED and told}
        told = next(iter(own.values()), {})
        self._deaf = self._deaf or not body or (entry.kind == "DELIVERED" and not own)
        if not body:
            self.blind = True
            return
        with self.expect(Code.NUMBERING, entry):
            require(body["time"] >= self._time, "the log's time falls")
            self._time = body["time"]
            if "origin_epoch" in body and not self.blind:
                self._numbering.take(entry.kind, body)
        with self.expect(Code.KEY_STATUS, entry):
            self._check_order(entry.index, body["time"], body.get("key_log_size"))
        said = {**told, **body}
        if entry.kind in STEPS or entry.kind == "ABANDONED" or (entry.kind in ACTS and "statement" in said):
            for one in body["statements"] if entry.kind == "LOG_OPENED" else [said["statement"]]:
                with self.expect(Code.STATEMENT, entry):
                    self._check_statement(entry, Statement(one), own)
                with self.expect(Code.NOT_DELIVERED, entry):
                    self._handed.check(entry.kind, one, sure=not (self.blind or self._deaf))
        if entry.kind == "CONTINUES":
            # Of every lane numbers may have been lost, and every party has to confirm the log (of an exercise, its agreement's).
            self._numbering.continued()
            if self.exercise is None:
                self._versions.continued()
        if "umbrella" in body:
            with self.expect(Code.UMBRELLA, entry):
                self._follow(entry, body)
        if "agreement_log_index" in body:
            with self.expect(Code.EXERCISE, entry):
                self._follow_agreement(body)
        if entry.kind in SUBMITS:
            self._take_segment(entry, own)
        elif own:
            with self.expect(Code.PARTS, entry):
                require(all(one == told for one in own.values()), "two parties were told different things")
        if own and entry.kind in {"RECALLED", "SUPERSEDED"}:
            with self.expect(Code.TAKEN_BACK, entry):
                self._taken_back.take(entry.kind, told, self.segments)
        if own and entry.kind in {"DELIVERED", "REPLAYED"}:
            with self.expect(Code.DELIVERED, entry):
                self._check_delivered(entry, told)
        if own and entry.kind == "ACKNOWLEDGED":
            with self.expect(Code.ACKNOWLEDGED, entry):
                self._check_acknowledged(entry, told)

    def _check_order(self, index: int, time: int, size: int | None) -> None:
        """Hold the orders of the two logs together: what one has, the other knows within the grace of one broker's clock."""
        number = len(self._changes) if size is None else bisect_left(self._changes, (size, 0))
        fresh = all(time <= at + _GRACE_MS for _, at in self._changes[number : number + 1])
        fresh = fresh and (size or 0) <= len(self.key_chain.entries)
        require(fresh, "the entry did not know what the key log had, or the bundle's key log is older than the entry")
        here = {place for place, at in self._places if at < index}
        mine = ((place, at) for place, party, at in self.keys.revocations if party in self.log.parties)
        require(here >= {place for place, at in mine if at + _GRACE_MS < time}, "a revocation is missing in this log")
        require(size is None or max(here, default=-1) < size, "a key is used that this log has revoked before")

    def _follow(self, entry: Entry, body: dict[str, Any]) -> None:
        """Hold a change of the umbrella against the text, against the one before, and against the umbrella's log."""
        place, before = body["umbrella_log_index"], self._umbrella_at
        require(body["umbrella"] == self.texts.umbrella != "", "the agreement is under no such umbrella")
        require(before is None or place > before, "an older state of the umbrella than before")
        self._umbrella_at = place
        above = [one for one in self._logs if one.origin == body["umbrella_origin"]]
        with self.expect(Code.UMBRELLA_LOG, entry):
            require(above or before is not None, "the umbrella's log is not here: how it stood is its broker's word")
        for entries in (Chain(log, self._logs).entries for log in above):
            (at,) = (one for one in entries if one.index == place)
            good = at.kind in STEPS or at.kind == "KEY_REVOKED"
            require(good and at.shared.get("time", 0) <= body["time"], "no step of the umbrella, or a later one")
            steps = (one for one in entries if one.kind in STEPS and one.shared)
            self._above = [(one.shared["time"], one.index) for one in steps]

    def _follow_agreement(self, body: dict[str, Any]) -> None:
        """Take the steps of its agreement that an exercise's log says count from here on."""
        require(self.exercise is not None, "the log of an agreement follows none")
        entries = [] if self.exercise is None else self.exercise.take(body, self.terms["agreement"])
        time, deaf = self._time, self._deaf
        # What is wrong with them is told where they stand.
        self._report = Report()
        for one in entries:
            if one.kind == "CONTINUES":
                self._versions.continued()
            else:
                self._walk(one, one.shared)
        self._report, self._time, self._deaf = self.log.report, time, deaf

    def _check_umbrella(self, body: dict[str, Any]) -> None:
        """Hold the umbrella that a segment was decided under against the text, and what was named against the umbrella's log."""
        at = self._umbrella_at
        require(not self.texts.umbrella or at is not None or self.blind, "decided before the umbrella was named")
        said, named = body["under"], self.texts.documents.get(body["agreement_digest"], {}).get("under", {})
        same = said["umbrella"] == named.get("agreement") and f"sha384:{said['umbrella_digest']}" == named["digest"]
        unread = body["agreement_digest"] not in self.texts.documents
        require(not said["umbrella"] or same or unread, "decided under another umbrella than the text names")
        standing = bisect_left(self._above, (body["time"] - _LATE_MS, 0))
        late = standing and self._above[standing - 1][1] > (at or 0)
        require(not late or self.blind, "a step of the umbrella had stood in its log for long and was not named")

    def _check_statement(self, entry: Entry, one: Statement, own: dict[str, dict[str, Any]]) -> None:
        body, fields = {**next(iter(own.values()), {}), **entry.shared}, one.fields
        word = str(fields["type"]).removeprefix("agreement-")
        same = fields["agreement"] == self.terms["agreement"] and fields["party"] in self.log.parties
        require(same, "a statement about another agreement, or by no party")
        officer = "officer" in fields
        if officer:
            if entry.kind in ACTS:
                same = fields["role"] in ACTS[entry.kind].get(fields["type"], ())
            else:
                types, roles = STEPS[entry.kind]
                same = f"agreement-{word}" == fields["type"] and word in types and fields["role"] in roles
            require(same, f"not a statement that {entry.kind} can hold")
            known = body["agreement_digest"] in self.texts.known
            if word in STEP_TYPES:
                self.texts.name(fields["agreement_digest"])
            if entry.kind in STEPS:
                text, made = self.texts.documents.get(fields["agreement_digest"]), hashlib.sha384(one.body).hexdigest()
                self._versions.take(word, fields, made, body["time"], text)
            known = known and fields["agreement_digest"] in self.texts.known
            require(known or self.blind, "it is about a text that no step brought")
            good = self.texts.has(fields.get("clauses", [])) or self.blind
            require(good, "it names a clause that the text does not have")
            if word == "caveat-add":
                require(
                    entry.bodies.get(fields["party"]) != {}, "the body that tells a caveat to its own party is empty"
                )
                self.texts.add_caveat(fields, own)
            if word == "caveat-withdraw":
                self.texts.withdraw_caveat(fields)
        else:
            same = entry.kind == "ABANDONED" and fields["type"] == "report-abandoned"
            same = same and (fields["node"], len(fields["leaves"])) == (body["actor"]["node"], body["count"])
            same = same and all(fields[name] == body[name] for name in LANE)
            require(same, "the statement abandons other reports than the body says")
        due = {fields["officer"], *fields.get("witnesses", ())} if officer else {f"{fields['party']}/{fields['node']}"}
        for print_ in one.signatures:
            listing, key = self.counting(entry, print_, "officer-signing" if officer else "node-signing")
            name = "/".join(listing.identity)
            require(name in due and one.by(key), "a signature is another's, or does not verify")
            due.remove(name)
            if officer:
                accredited = fields["agreement"] in (listing.fields["agreements"] or [fields["agreement"]])
                in_role = name != fields["officer"] or fields["role"] in listing.fields["roles"]
                require(accredited and in_role, f"{name} is not accredited for this")
            self.judge(entry, key)
        require(not due, "somebody whom it names did not sign it")
        if word in ("suspend", "resume") and not fields["clauses"]:
            (self._suspended.add if word == "suspend" else self._suspended.discard)(fields["party"])

    def _take_segment(self, entry: Entry, own: dict[str, dict[str, Any]]) -> None:
        body = entry.shared
        ended = {slot for slot, _ in body["duplicates"] + body["refusals"]}
        admitted = set(range(min(body["slots"], 256))) - ended
        segment = self.segments[body["segment_id"]] = Segment(entry, admitted, {})
        self._handed.submitted(body["segment_id"], len(admitted), entry.records)
        with self.expect(Code.LOG_OPENED, entry):
            opened = self._versions.opened(body["agreement_digest"]) or self.blind
            require(opened, "a report was submitted before as many parties had signed the log as must")
        with self.expect(Code.EXERCISE, entry):
            check_class(self.log, body)
            if self.exercise is not None and not self.blind:
                self.exercise.check(body)
        with self.expect(Code.UMBRELLA, entry):
            self._check_umbrella(body)
        with self.expect(Code.GOVERNING, entry):
            binds = body["under"]["state"]["in_force"]
            if not self.blind:
                self._versions.check(body["agreement_digest"], body["received_at"], body["time"], in_force=binds)
        with self.expect(Code.CLAUSES, entry):
            known = body["agreement_digest"] in self.texts.known
            require(known or self.blind, "decided under a text that no step brought")
            caveats = {(one["party"], one["id"]): one["digest"] for one in body["under"]["caveats"]}
            require(caveats == self.texts.in_force or self.blind, "decided under other caveats than are in force")
            for party, told in own.items():
                for decision in told["decisions"]:
                    for violated in (one for recipient in decision["recipients"] for one in recipient["violations"]):
                        # What an entry that was not presented may have brought is not missed.
                        if not self.blind:
                            self.texts.check_cited(party, violated["clause"], violated["reason"])
                    portions = {(one["party"], one["node"]): one["portions"] for one in decision["recipients"]}
                    segment.told.setdefault(party, []).append((set(slots_of(decision["slots"])), portions))
        with self.expect(Code.OUTCOME, entry):
            segment.check_outcomes(own)

    def _check_delivered(self, entry: Entry, told: dict[str, Any]) -> None:
        node = told["recipient"]["party"], told["recipient"]["node"]
        for one in told["segments"]:
            segment, slots = self.segments.get(one["segment_id"]), slots_of(one["slots"])
            require(segment or self.blind, "a segment was delivered that had not been submitted")
            if segment is None:
                continue
            stopped = segment.entry.shared["class"] % 5 and self._suspended - self._versions.left
            require(not stopped or self.blind, "a report was delivered while the whole agreement was suspended")
            for slot in slots:
                require(slot in segment.admitted, f"slot {slot} was delivered and not admitted")
                readers = segment.told.keys() & {node[0], segment.entry.shared["actor"]["party"]}
                some = all(segment.permitted(slot, reader).get(node) for reader in readers)
                require(some, f"slot {slot} was delivered and nothing of it permitted")
            before = self._delivered.setdefault((node, told["consumer"], one["segment_id"]), set())
            with self.expect(Code.TAKEN_BACK, entry):
                self._taken_back.check(node, one["segment_id"], slots)
            with self.expect(Code.NOT_DELIVERED, entry):
                again = entry.kind == "DELIVERED" or self._deaf or before.issuperset(slots)
                require(again, "a slot was replayed that had not been delivered to this consumer")
            if entry.kind == "DELIVERED":
                before.update(slots)
                self._handed.delivered(node[0], one["segment_id"], slots)

    def _check_acknowledged(self, entry: Entry, told: dict[str, Any]) -> None:
        record = bytes.fromhex(told["ack"])
        ack, node = read("ack", record), (told["recipient"]["party"], told["recipient"]["node"])
        listing, key = self.counting(entry, self.keys.signing_key(ack["key_set"], ack["suite"]), "node-signing")
        require(key.signed(bytes.fromhex(told["signature"]), "ack", record), "the signature does not verify")
        said, due = (
            (ack["consumer"], ack["agreement"]),
            (told["consumer"], self.terms["agreement"] + f"/{EXERCISE}" * is_exercise(self.log)),
        )
        require((listing.identity, said) == (node, due), "the record is of another node, consumer or agreement")
        self.judge(entry, key)
        with self.expect(Code.NOT_DELIVERED, entry):
            for one in ack["segments"]:
                name = one["segment_id"].hex()
                named = {slot for slot, outcome in enumerate(one["outcomes"]) if outcome not in (0, _CAME_PRUNED)}
                good = name in self.segments and named <= self._delivered.get((node, ack["consumer"], name), set())
                require(good or self._deaf, "a segment or slot was acknowledged that had not been delivered")
