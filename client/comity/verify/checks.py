"""The checks over a whole bundle, receipts and envelopes against the logs, and the verdict (docs/verification.md names each check)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from comity.verify.bundle import GAPS, Code, Log, Report, read_file
from comity.verify.crypto import leaf384, root384
from comity.verify.notes import verify_checkpoint
from comity.verify.records import read, read_exported, require
from comity.verify.segments import Node, Segment
from comity.verify.table import ROLES, SHARED
from comity.verify.trees import root_of
from comity.verify.walk import AgreementLog

_RECALL: Final = 9


class Verification:
    """Every check over a bundle, made at once; `findings`, `counts`, `verdict` and `logs` say what came of it.

    `since` are checkpoints of an earlier audit, `roots` fingerprints (``sha384:...``) by party that were compared elsewhere, `views` the
    parties whose own bodies must be there (none: all). PASS: all was there and holds. PASS_WITH_GAPS: what was there holds.
    """

    def __init__(
        self,
        folder: Path,
        since: Iterable[bytes] = (),
        roots: Mapping[str, str] | None = None,
        views: Iterable[str] = (),
    ) -> None:
        self.report = Report()
        self.findings, self.counts = self.report.findings, self.report.counts
        folders = [path.parent for path in sorted(folder.glob("logs/**/checkpoint"))]
        self.logs = [Log(one, one.relative_to(folder / "logs").as_posix(), self.report) for one in folders]
        with self.report.expect(Code.NOTE):
            require(any(log.kind == "agreement" for log in self.logs), "the bundle holds no agreement's log")
        unknown = {*(roots or {}), *views} - {party for log in self.logs for party in log.parties}
        if unknown and not self.findings:
            raise ValueError(f"no log of the bundle has a party {', '.join(sorted(unknown))}")
        for data in since:
            self._compare(data, data.partition(b"\n")[0].decode(errors="replace"))
        for log in self.logs:
            due = {SHARED, *(set(log.parties).intersection(views) if views else log.parties)}
            self.counts["bodies"] += sum(len(entry.bodies) for entry in log.entries)
            self.counts["bodies not presented"] += sum(len(due - entry.bodies.keys()) for entry in log.entries)
        failed = {finding.origin for finding in self.findings if finding.code is Code.NOTE}
        named = [log for log in self.logs if log.kind == "agreement" and log.origin not in failed]
        agreements = [AgreementLog(folder, log, self.logs, roots or {}) for log in named]
        # Of a log that could not be judged receipts and envelopes say nothing more: it is a finding already.
        self._judged = [log for log in agreements if log.judged]
        self._blind = bool(failed) or any(log.blind or not log.judged for log in agreements)
        for path in sorted(folder.glob("receipts/*")):
            with self.report.expect(Code.RECEIPT):
                self._check_receipt(read("signed", read_file(path) or b""))
        for path in sorted(folder.glob("envelopes/*")):
            with self.report.expect(Code.ENVELOPE):
                self._check_envelope(read_exported(read_file(path) or b""))

    @property
    def verdict(self) -> str:
        """Give PASS, PASS_WITH_GAPS or FAIL."""
        if any(finding.code not in GAPS for finding in self.findings):
            return "FAIL"
        gaps = self.findings or any(self.counts[name] for name in self.counts if " " in name)
        return "PASS_WITH_GAPS" if gaps else "PASS"

    def _compare(self, data: bytes, origin: str) -> None:
        with self.report.expect(Code.CONSISTENCY, origin):
            named = [log for log in self.logs if log.origin == origin and log.leaves]
            require(named, "the log of the earlier audit is not in the bundle")
            old = verify_checkpoint(data, named[0].policy)
            same = old.size <= len(named[0].leaves) and root_of(named[0].leaves[: old.size]) == old.root
            require(same, f"the first {old.size} entries are not those of the earlier audit")

    def _check_receipt(self, signed: dict[str, Any]) -> None:
        receipt = read("receipt", signed["record"])
        named = [one for one in self._judged if one.log.origin == receipt["origin"]]
        require(named or self._blind, f"the log of a receipt, {receipt['origin']}, is not in the bundle")
        if not named:
            return
        log, index = named[0], receipt["log_index"]
        leaf = index - log.log.first
        with self.report.expect(Code.RECEIPT, receipt["origin"], index):
            same = leaf >= 0 and log.log.leaves[leaf : leaf + 1] == [receipt["leaf_hash"]]
            require(same, "the log has another entry at the receipt's place")
            entry = next(one for one in log.log.entries if one.index == index)
            if not entry.shared:
                return
            said = {name: receipt[name] for name in ("first_agreement_sequence", "count", "received_at")}
            said |= {name: [[*one.values()] for one in receipt[name]] for name in ("duplicates", "refusals")}
            said |= {"segment_id": receipt["segment_id"].hex()}
            require(all(entry.shared.get(name) == value for name, value in said.items()), "the entry says otherwise")
            root = root384(leaf384("receipt", signed["record"]), signed["slot"], 64, signed["path"])
            listed = [key for one in log.keys.listings[log.broker] for key in one.keys.values()]
            by = [
                key for key in listed if key.signed(signed["signature"], "receipts", key.suite, key.fingerprint, root)
            ]
            require(by, "not signed by the broker")
            log.counting(entry, by[0].fingerprint, "broker-signing")

    def _check_envelope(self, one: dict[str, Any]) -> None:
        batch, place = one["batch"], (one["origin_epoch"], one["class"], one["first"], one["leaves"])
        segment_id = leaf384("segment", *place, root384(one["leaf"], one["slot"], one["leaves"], one["path"]))
        found = [log for log in self._judged if segment_id.hex() in log.segments]
        require(found or self._blind, "an envelope is of a segment that no log holds")
        if not found:
            return
        log, segment = found[0], found[0].segments[segment_id.hex()]
        with log.expect(Code.ENVELOPE, segment.entry):
            root = root384(segment_id, one["index"], batch["count"], one["batch_path"])
            print_ = log.keys.signing_key(batch["key_set"], batch["suite"])
            listing, key = log.counting(segment.entry, print_, "node-signing")
            terms = (batch["suite"], batch["agreement"], batch["key_set"], batch["count"], root)
            require(key.signed(batch["signature"], "batch", *terms), "the batch signature does not verify")
            self._check_equalities(log, segment, one, listing.identity)
            log.judge(segment.entry, key)
        with log.expect(Code.APPROVAL, segment.entry):
            self._check_approvals(log, segment, one)
        with log.expect(Code.PORTIONS, segment.entry):
            self._check_portions(log, segment, one["slot"], one["manifest"])

    def _check_equalities(self, log: AgreementLog, segment: Segment, one: dict[str, Any], node: Node) -> None:
        body, manifest, batch, slot = segment.entry.shared, one["manifest"], one["batch"], one["slot"]
        core, rows, record = manifest["core"], manifest["rows"], segment.entry.records.get(slot, {})
        profile, agreement, portions = core["profile"], log.terms["agreement"], len(manifest["portions"])
        urgency = (0 if profile["kind"] == _RECALL else profile["precedence"]) + 5 * profile["exercise"]
        lane = (one["origin_epoch"].hex(), one["class"], one["first"], one["leaves"])
        text = profile["agreement_digest"].hex()
        for what, said, due in (
            ("lane", (body["origin_epoch"], body["class"], body["first_origin_sequence"], body["slots"]), lane),
            ("agreement", (batch["agreement"], profile["agreement"]), (agreement, agreement)),
            ("text", text, body["agreement_digest"] if slot in segment.admitted else text),
            ("key set", (profile["suite"], profile["key_set"]), (batch["suite"], batch["key_set"])),
            ("originator", (profile["party"], profile["node"]), node),
            ("sender", (body["actor"]["party"], body["actor"]["node"]), node),
            ("number", (core["origin_epoch"], core["origin_sequence"]), (one["origin_epoch"], one["first"] + slot)),
            ("class", urgency, one["class"]),
            ("slot record", record.get("leaf", one["leaf"]), one["leaf"]),
            ("report id", record.get("report_id", core["report_id"]), core["report_id"]),
            ("portions", (len(profile["portions"]), len(one["ciphertexts"])), (portions, portions)),
            ("own row", [len(row["indices"]) for row in rows if row["party"] == node[0]], [portions]),
            ("rows", (len(one["stanzas"]), len({row["key"] for row in rows})), (len(rows), len(rows))),
        ):
            require(said == due, f"the {what} of envelope, batch and log differ")
        require(all(row["indices"][-1] < portions for row in rows), "a stanza row names a portion that there is not")
        inline = [*zip(one["stanzas"], rows, strict=True), *zip(one["ciphertexts"], manifest["portions"], strict=True)]
        same = all(data is None or hashlib.sha384(data).digest() == of["digest"] for data, of in inline)
        require(same, "a stanza or ciphertext is not the one the manifest names")

    def _check_approvals(self, log: AgreementLog, segment: Segment, one: dict[str, Any]) -> None:
        profile, officers = one["manifest"]["core"]["profile"], set()
        for by in one["approvals"]:
            listing, key = log.counting(segment.entry, by["officer"], "officer-signing")
            terms = (by["suite"], one["leaf"], by["officer"], by["role"], by["time"])
            known = listing.identity[0] == profile["party"] and ROLES.split()[by["role"]] in listing.fields["roles"]
            good = known and by["suite"] == key.suite and key.signed(by["signature"], "approval", *terms)
            require(good, "an approval that does not verify, or does not count")
            officers.add(listing.identity)
            log.judge(segment.entry, key)
        require(len(officers) >= profile["approvals_required"], "fewer approvals than the envelope requires")

    def _check_portions(self, log: AgreementLog, segment: Segment, slot: int, manifest: dict[str, Any]) -> None:
        originator = manifest["core"]["profile"]["party"]
        for row in (row for row in manifest["rows"] if row["party"] != originator):
            listing, _ = log.counting(segment.entry, row["key"], "node-kem")
            require(listing.identity[0] == row["party"], "a stanza is for a key of another party than its row names")
            for reader in segment.told.keys() & {originator, row["party"]} if slot in segment.admitted else ():
                permitted = segment.permitted(slot, reader).get(listing.identity)
                require(permitted == row["indices"], "the portions in a stanza row are not those that were permitted")
                number = segment.entry.records.get(slot, {}).get("decision")
                named = number is None or slot in segment.told[reader][number][0]
                require(named, "the slot's record names another decision")
