"""Logs of mixed decisions: taken by the engine, recorded by the broker's own code, without a network.

log = MixedLog.of(segments=100, seed=1)       # 10,000 reports, permitted and refused for many reasons
for done in log.replay(): ...
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

from builders_audit import good_audit
from builders_replay_life import IN_FORCE, life
from comity.envelope.evidence import SlotCode
from comity.envelope.profile import ProfileMemo, encode_profile
from comity.node.decision_records import Evidence
from comity.node.logged_entries import LoggedEntry
from comity.node.logged_texts import Texts
from comity.node.replay_sources import bundle_entries, bundle_evidence, bundle_logs, bundle_texts, of_agreements
from comity.node.replaying import LogReplay, Replayed
from comity.texts import agreement_digest
from comity.verify import table
from comity_broker.auditlog.bodies import Caller
from comity_broker.auditlog.submissions import DecidedUnder, LoggedDecision, SegmentAdmission, submitted
from comity_policy.companions import Caveat
from comity_policy.decision import ReportDecision
from comity_policy.document import Document, load
from comity_policy.engine import CompiledAgreement, compile_agreement, decide_report
from comity_policy.facts import AgreementState, Moment, NodeFacts, Point, Profile, Times
from comity_policy.recorded import What
from comity_policy.table_facts import Facts, build
from comity_policy.vocabulary import bundled

PER_DECISION, DECISIONS = 5, 20
# As whoever reads manifests: one object for profiles of the same bytes.
PROFILES = ProfileMemo()
CALLER = Caller("XAR", "n1", "", bytes(48), bytes(16))
_CHOICES: Mapping[str, Sequence[Any]] = {
    "level": ("SECRET", "RESTRICTED", "UNCLASSIFIED", "TOP-SECRET"),
    "categories": (["terrorism"], ["terrorism"], ["cyber"], ["sanctions"]),
    "purpose": ("counter-terrorism", "counter-terrorism", "threat-to-life", "cyber-defence"),
    "kind": ("report", "report", "rfi", "plan"),
    "precedence": ("ROUTINE", "ROUTINE", "PRIORITY", "FLASH"),
    "releasable_to": (["XAR", "XBO"], ["XAR", "XBO"], ["XAR", "XDE"]),
    "expires": ("5d", "20d", "29d", "40d"),
    "region": ("xbo", "xbo", "xde"),
    "accreditation": ("TOP-SECRET", "TOP-SECRET", "SECRET"),
    "sender_roles": (["node"], ["node", "liaison"], ["duty-officer"]),
    "valid": (True, True, True, False),
}


PASSING = {name: choices[0] for name, choices in _CHOICES.items()}


@cache
def text(name: str = "xar-xbo-ct") -> bytes:
    return (files("comity_policy") / "examples" / f"{name}.toml").read_bytes()


@cache
def document() -> Document:
    return load(text())


@cache
def digest() -> bytes:
    return agreement_digest(text())


@cache
def compiled(state: AgreementState = IN_FORCE) -> CompiledAgreement:
    return compile_agreement(document(), digest(), state, bundled())


def narrowed(*caveats: Caveat) -> CompiledAgreement:
    return compile_agreement(document(), digest(), IN_FORCE, bundled(), caveats=caveats)


def under(state: AgreementState = IN_FORCE) -> DecidedUnder:
    return DecidedUnder.of(compiled(state).source, bundled().digests, {})


def mixed_facts(rng: Random) -> Facts:
    """Give facts of which most fields are such as pass, and one to three may not."""
    fields = dict(PASSING)
    for name in rng.sample(list(_CHOICES), rng.randint(1, 3)):
        fields[name] = rng.choice(_CHOICES[name])
    return build(document(), digest(), {"from": "XAR", "to": "XBO", **fields}, Point.ADMISSION)


@dataclass
class MixedLog:
    """A log that was brought into a state, and entries with the bodies of both parties and the manifests of what was admitted."""

    state: AgreementState = IN_FORCE
    entries: list[LoggedEntry] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        *,
        segments: int,
        seed: int,
        state: AgreementState = IN_FORCE,
        together: bool = True,
        each: int = PER_DECISION,
    ) -> MixedLog:
        rng, log = Random(seed), cls(state)
        for _ in range(segments):
            log.add([mixed_facts(rng) for _ in range(DECISIONS)], rng=rng, together=together, each=each)
        return log

    def texts(self) -> Texts:
        return Texts([text()])

    def replay(self, **options: Any) -> Iterator[Replayed]:
        """Replay it; gives what came of each segment."""
        replaying = LogReplay(self.texts(), **options)
        return (done for entry in (*life(text(), self.state), *self.entries) if (done := replaying.take(entry)))

    def add(
        self, facts: Sequence[Facts], *, rng: Random, together: bool = True, each: int = PER_DECISION
    ) -> LoggedEntry:
        """Add a segment with so many reports of each facts; `together`: those of one result share a record, as where no quota counts."""
        state, log_index = self.state, len(life(text(), self.state)) + len(self.entries)
        decisions, manifests, refusals = [], {}, []
        for number, one in enumerate(facts):
            moment = with_broker_facts(one.moment, rng)
            slots = range(number * each, (number + 1) * each)
            times = [later(one.times, rng.randrange(60_000)) for _ in slots]
            results = [decide_report(compiled(state), one.profile, at, [one.node], moment) for at in times]
            # As the broker does: what has another result is another decision.
            alike = [[at for at, other in enumerate(results) if other == result] for result in unique(results)]
            decisions += (
                LoggedDecision(
                    [slots[at] for at in of],
                    encode_profile(one.profile),
                    moment,
                    [one.node],
                    results[of[0]],
                    [times[at] for at in of],
                )
                for of in (alike if together else [[at] for at in range(len(results))])
            )
            for slot, own, result in zip(slots, times, results, strict=True):
                if result.permit:
                    manifests[slot] = Evidence(bytes(48), PROFILES.decode(encode_profile(one.profile)), own)
                else:
                    refusals.append((slot, SlotCode.POLICY))
        entry = logged(decisions, log_index, len(facts) * each, refusals, made_under=under(state), manifests=manifests)
        self.entries.append(entry)
        return entry


def with_broker_facts(moment: Moment, rng: Random) -> Moment:
    return replace(
        moment,
        size=rng.choice((None, 1000)),
        usage={},
        approvals=rng.choice((None, frozenset({"XAR/officer1"}))),
        log_available=True,
    )


def later(times: Times, milliseconds: int) -> Times:
    return replace(times, expires_at=times.expires_at + milliseconds)


def unique(results: Sequence[ReportDecision]) -> list[ReportDecision]:
    found: list[ReportDecision] = []
    for one in results:
        if one not in found:
            found.append(one)
    return found


def first_index() -> int:
    """Give the index of the first entry after those that bring the text into force."""
    return len(life(text()))


def logged(
    decisions: Sequence[LoggedDecision],
    log_index: int,
    slots: int,
    refusals: Sequence[tuple[int, SlotCode]] = (),
    *,
    made_under: DecidedUnder | None = None,
    manifests: Mapping[int, Evidence] | None = None,
    of: bytes = b"",
    segment: bytes = bytes(48),
) -> LoggedEntry:
    """Give an entry as a party reads it, its bodies written by the broker's code and read by the verifier's."""
    admission = SegmentAdmission(
        time=max(one.moment.now for one in decisions),
        received_at=min(one.moment.now for one in decisions),
        key_log_size=1,
        state_epoch=1,
        transport_class=4,
        origin_epoch=bytes(16),
        first_origin_sequence=1,
        segment_id=segment,
        slots=slots,
        first_agreement_sequence=1,
        records=bytes(48),
        agreement_digest=agreement_digest(of or text()),
        under=made_under or under(),
        refusals=tuple(refusals),
    )
    event = submitted(admission, CALLER, decisions)
    kind = event.kind.value
    shared = table.read_body("agreement", kind, "shared", event.shared)
    own = {party: table.read_body("agreement", kind, party, body) for party, body in event.own.items()}
    return LoggedEntry(log_index, kind, shared, own, dict(manifests or {}))


def copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def one_decision(
    profile: Profile, times: Times, node: NodeFacts, moment: Moment, by: CompiledAgreement | None = None
) -> LoggedDecision:
    result = decide_report(by or compiled(), profile, times, [node], moment)
    return LoggedDecision([0], encode_profile(profile), moment, [node], result, [times])


def bundle(tmp_path, *, under: Mapping[str, object] | None = None, agreement_digest: str = "", **state: object):
    audit = good_audit()
    index = audit.find("SUBMIT_ACCEPTED")
    if state or under:
        said = audit.body(index)["under"]
        audit.change(index, under=said | dict(under or {}) | {"state": said["state"] | state})
    if agreement_digest:
        audit.change(index, agreement_digest=agreement_digest)
    audit.write(tmp_path)
    return tmp_path


def replayed_bundle(folder):
    (log,) = of_agreements(bundle_logs(folder))
    replaying = LogReplay(bundle_texts(folder))
    return [
        done for entry in bundle_entries(log, bundle_evidence(folder)) if (done := replaying.take(entry)) is not None
    ]


def passing_entry() -> LoggedEntry:
    """One report that was admitted, in slot 0."""
    facts = passing()
    decision = one_decision(facts.profile, facts.times, facts.node, facts.moment)
    assert decision.result.permit
    return logged([decision], first_index(), 1, manifests={0: Evidence(bytes(48), facts.profile, facts.times)})


def passing() -> Facts:
    """Give facts that are permitted."""
    rng = Random(0)
    while True:
        facts = mixed_facts(rng)
        if one_decision(facts.profile, facts.times, facts.node, facts.moment).result.permit:
            return replace(facts, moment=replace(facts.moment, log_available=True))


def replayed(
    entry: LoggedEntry, texts: Texts | None = None, before: Sequence[LoggedEntry] = (), **options: Any
) -> Replayed:
    """Replay one segment after what brings its text into force, or what else stands before it."""
    replaying = LogReplay(texts or Texts([text()]), **options)
    for one in before or life(text()):
        replaying.take(one)
    done = replaying.take(entry)
    assert done is not None
    return done


def changed(entry: LoggedEntry, part: str, change: Callable[[Any], object]) -> LoggedEntry:
    """Give the entry with a change made to a copy of one of its bodies."""
    shared, own = copied(entry.shared), copied(entry.own)
    change(shared if part == "shared" else own[part])
    return replace(entry, shared=shared, own=own)


def read_again(entry: LoggedEntry) -> LoggedEntry:
    """Give the entry as whoever reads its bodies has it; raises FormError for one that is not what its kind declares."""

    def read(part: str, body: Mapping[str, Any]) -> dict[str, Any]:
        data = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() if body else b""
        return table.read_body("agreement", entry.kind, part, data)

    own = {party: read(party, body) for party, body in entry.own.items()}
    return replace(entry, shared=read("shared", entry.shared), own=own)


def differences(done: Replayed) -> set[What]:
    """Give what differs."""
    return {difference.what for one in done.told for difference in one.differences}
