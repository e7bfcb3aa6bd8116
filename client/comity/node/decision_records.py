"""Decision records of a log as the facts they hold: what the broker wrote as JSON, read as a hostile peer's (design 05, "Events").

The table of audit events has checked keys and shapes when a body was read (`comity.verify.table`). What it cannot check is checked here: that words
are roles and reasons we know, that slots, portions and times add up, that a profile is what its digest says. Whatever is not is
VerificationError, and says where.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

from comity.envelope import limits
from comity.envelope.profile import ProfileMemo, encode_profile
from comity.errors import MalformedError, VerificationError
from comity.verify.table import fits
from comity_policy.decision import Reason
from comity_policy.facts import AgreementState, Moment, NodeFacts, Point, Profile, Role, Times, Usage
from comity_policy.recorded import CAVEAT_REASON, Answer, Difference, Recipient, Recorded, Under, What

_ROLES: Final = {role.word: role for role in Role}
_REASONS: Final = frozenset({*(reason.value for reason in Reason), CAVEAT_REASON})
_MEMO_BYTES: Final = 16 << 20
_KEPT: Final = 4_096
_MOMENT_WORDS: Final = (
    "now", "broker", "broker_region", "key_log_age", "sender_key_since", "direct", "onward_grant", "size", "log_available",
    "emergency_declared", "hops", "disputed",
)  # fmt: skip
_NODE_WORDS: Final = ("region", "accreditation_level", "accreditation_until", "oldest_key_since", "valid")

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The profile and times of an admitted report, from its signed manifest, with its leaf; and its size in bytes, where that is known."""

    leaf: bytes
    profile: Profile
    times: Times
    size: int | None = None


Manifests = Callable[[int], Evidence | None]


class RecordReader:
    """Reads the decisions of one log; profiles that come again are decoded once."""

    def __init__(self) -> None:
        self._memo = ProfileMemo(_MEMO_BYTES)
        # By identity, which is looked at in no time: with each its profile, so that nothing else gets its id.
        self._digests: dict[int, tuple[Profile, str]] = {}
        # Facts that come again, by the values of their fields, which were found to be of their types before.
        self._moments: dict[tuple[object, ...], Moment] = {}
        self._nodes: dict[tuple[object, ...], NodeFacts] = {}
        self._contents: dict[str, tuple[Profile, str]] = {}

    def under(self, shared: Mapping[str, Any]) -> Under:
        """Read what all decisions of an entry were made under."""
        _require("under" in shared and fits("under", shared["under"]), "it does not say under what it decided")
        said = shared["under"]
        above = None
        if said["umbrella"]:
            _require(bool(said["umbrella_digest"]), "it names an umbrella without its digest")
            above = (said["umbrella"], bytes.fromhex(said["umbrella_digest"]), _state(said["umbrella_state"]))
        caveats = tuple((one["party"], one["id"], bytes.fromhex(one["digest"])) for one in said["caveats"])
        _require(len({one[:2] for one in caveats}) == len(caveats), "it names a caveat twice")
        return Under(
            engine=shared["engine"],
            agreement_digest=bytes.fromhex(shared["agreement_digest"]),
            vocabularies=bytes.fromhex(said["vocabularies"]),
            state=_state(said["state"]),
            umbrella=above,
            caveats=caveats,
        )

    def decisions(self, own: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Give the decisions of a party's own body, none where it has nothing to say."""
        return list(own.get("decisions", ()))

    def decision(
        self,
        under: Under,
        said: Mapping[str, Any],
        manifests: Manifests,
        attested: Sequence[Mapping[str, Any]],
    ) -> tuple[Recorded | None, tuple[int, ...]]:
        """Read one of `decisions`, made on facts that are `attested` in its body; give it with the reports that can be decided again, and the slots of those that cannot.

        None where no report can: its manifest was not presented, or its originator alone keeps its profile. Raises VerificationError.
        """
        moment = self._moment(said["moment"])
        slots = _slots(said["slots"])
        faults: list[Difference] = []
        profile, times, unknown = self._reports(said, slots, manifests, faults)
        if profile is None:
            return None, unknown
        nodes = tuple(self._node(one, attested) for one in said["recipients"])
        permitted, refused = _answers(said["recipients"], nodes, len(profile.portions))
        recorded = Recorded(
            under=under,
            profile=profile,
            moment=moment,
            nodes=nodes,
            permitted=permitted,
            refused=refused,
            # In their order, as slots ascend.
            reports=tuple(times.items()),
            faults=tuple(faults),
        )
        return recorded, unknown

    def _reports(
        self, said: Mapping[str, Any], slots: Sequence[int], manifests: Manifests, faults: list[Difference]
    ) -> tuple[Profile | None, dict[int, Times], tuple[int, ...]]:
        """Give the profile of all, the times of each report that are known, and the slots whose are not."""
        profile: Profile | None = None
        times: dict[int, Times] = {}
        if said["content"]:
            profile, digest = self._content(said["content"])
            _require(len(said["times"]) == len(slots), "it has not the times of every slot it covers")
            times = {slot: _times(one) for slot, one in zip(slots, said["times"], strict=True)}
            _compare_profile(said["profile"], digest, faults)
        unknown: list[int] = []
        for slot in slots:
            found = manifests(slot)
            if found is None:
                if slot not in times:
                    unknown.append(slot)
                continue
            if found.profile is not profile:
                if profile is None:
                    profile = found.profile
                    _compare_profile(said["profile"], self._digest(profile), faults)
                elif found.profile != profile:
                    faults.append(Difference(What.FACT, f"slot {slot}: the signed manifest has another profile"))
            if times.setdefault(slot, found.times) is not found.times and times[slot] != found.times:
                faults.append(Difference(What.FACT, f"slot {slot}: the signed manifest has other times"))
                times[slot] = found.times
        return profile, times, tuple(unknown)

    def _digest(self, profile: Profile) -> str:
        """Give a profile's digest in hex; manifests share profiles that are the same."""
        known = self._digests.get(id(profile))
        if known is None:
            known = _kept(self._digests)[id(profile)] = profile, hashlib.sha384(encode_profile(profile)).hexdigest()
        return known[1]

    def _content(self, content: str) -> tuple[Profile, str]:
        """Give the profile that a decision keeps, and its digest in hex."""
        known = self._contents.get(content)
        if known is None:
            encoded = bytes.fromhex(content)
            try:
                profile = self._memo.decode(encoded)
            except MalformedError as error:
                raise VerificationError(f"a decision keeps a profile that is none: {error.message}") from error
            known = _kept(self._contents)[content] = profile, hashlib.sha384(encoded).hexdigest()
        return known

    def _moment(self, said: Mapping[str, Any]) -> Moment:
        if said["usage"]:
            # What windows hold differs from report to report.
            return _moment(said)
        key = (
            *map(said.get, _MOMENT_WORDS),
            said["usage"] is None,
            _listed(said["sender_roles"]),
            _listed(said["approvals"]),
            _listed(said["sender_capabilities"]),
        )
        known = self._moments.get(key)
        if known is None:
            known = _kept(self._moments)[key] = _moment(said)
        return known

    def _node(self, said: Mapping[str, Any], attested: Sequence[Mapping[str, Any]]) -> NodeFacts:
        _require(said["facts"] < len(attested), "it was made on facts that are not there")
        facts = attested[said["facts"]]
        key = (
            said["party"],
            said["node"],
            *map(facts.get, _NODE_WORDS),
            *(_listed(facts[name]) for name in ("offices", "communities", "officers", "overdue", "capabilities")),
        )
        known = self._nodes.get(key)
        if known is None:
            known = _kept(self._nodes)[key] = _node(said["party"], said["node"], facts)
        return known


def _kept(known: dict[_Key, _Value]) -> dict[_Key, _Value]:
    """Give what is remembered, emptied where it is much."""
    if len(known) >= _KEPT:
        known.clear()
    return known


def _listed(words: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(words)


def _compare_profile(said: str, digest: str, faults: list[Difference]) -> None:
    if said and digest != said:
        faults.append(Difference(What.FACT, "the profile is not the one whose digest was recorded"))


def _slots(ranges: Sequence[Sequence[int]]) -> list[int]:
    slots: list[int] = []
    for first, last in ranges:
        _require((slots[-1] + 1 if slots else 0) <= first <= last < limits.SLOTS, "its ranges of slots do not ascend")
        slots += range(first, last + 1)
    _require(bool(slots), "it covers no slot")
    return slots


def _times(one: Sequence[int]) -> Times:
    _require(len(one) == 3 and one[0] <= one[1] < one[2], "times that no report can have")
    return Times(*one)


def _state(said: Mapping[str, Any]) -> AgreementState:
    return AgreementState(
        said["in_force"], said["reason"], frozenset(said["suspended_clauses"]), frozenset(said["unbound"])
    )


def _moment(said: Mapping[str, Any]) -> Moment:
    usage = said["usage"]
    if usage is not None:
        _require(len({one["clause"] for one in usage}) == len(usage), "it names a quota twice")
    return Moment(
        point=Point.ADMISSION,
        now=said["now"],
        broker=said["broker"],
        broker_region=said["broker_region"],
        key_log_age=said["key_log_age"],
        sender_roles=_roles(said["sender_roles"]),
        direct=said["direct"],
        onward_grant=said["onward_grant"],
        sender_key_since=said["sender_key_since"],
        sender_capabilities=_words(said["sender_capabilities"]),
        size=said["size"],
        usage=None if usage is None else {one["clause"]: Usage(one["reports"], one["size"]) for one in usage},
        approvals=_words(said["approvals"]),
        log_available=said["log_available"],
        emergency_declared=said["emergency_declared"],
        hops=said["hops"],
        disputed=said["disputed"],
    )


def _roles(words: Sequence[str] | None) -> frozenset[Role] | None:
    if words is None:
        return None
    unknown = [word for word in words if word not in _ROLES]
    _require(not unknown, f"{', '.join(unknown)[:80]!r} is no role")
    return frozenset(_ROLES[word] for word in words)


def _words(words: Sequence[str] | None) -> frozenset[str] | None:
    return None if words is None else frozenset(words)


def _node(party: str, node: str, facts: Mapping[str, Any]) -> NodeFacts:
    return NodeFacts(
        party=party,
        node=node,
        region=facts["region"],
        offices=frozenset(facts["offices"]),
        communities=frozenset(facts["communities"]),
        accreditation_level=facts["accreditation_level"],
        accreditation_until=facts["accreditation_until"],
        oldest_key_since=facts["oldest_key_since"],
        valid=facts["valid"],
        officers=_words(facts["officers"]),
        overdue=_words(facts["overdue"]),
        capabilities=_words(facts["capabilities"]),
    )


def _answers(
    said: Sequence[Mapping[str, Any]], nodes: Sequence[NodeFacts], portions: int
) -> tuple[dict[Recipient, tuple[int, ...]], dict[tuple[str, str, int], Answer]]:
    _require(len({(node.party, node.node) for node in nodes}) == len(nodes), "it names a recipient twice")
    permitted: dict[Recipient, tuple[int, ...]] = {}
    refused: dict[tuple[str, str, int], set[tuple[str, str]]] = {}
    for one in said:
        name = (one["party"], one["node"])
        permitted[name] = _portions(one["portions"], portions)
        for violation in one["violations"]:
            _require(violation["reason"] in _REASONS, f"{violation['reason'][:80]!r} is no reason")
            for portion in _portions(violation["portions"], portions):
                refused.setdefault((*name, portion), set()).add((violation["clause"], violation["reason"]))
    return permitted, {where: frozenset(answer) for where, answer in refused.items()}


def _portions(said: Sequence[int], portions: int) -> tuple[int, ...]:
    ascending = len(said) < 2 or all(first < second for first, second in pairwise(said))
    _require(ascending and (not said or said[-1] < portions), "its portions do not ascend, or there are not so many")
    return tuple(said)


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise VerificationError(problem, what_to_do="Keep the log as it is: whoever wrote this is to explain it.")
