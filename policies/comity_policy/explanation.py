"""Why a decision said no, for people: on demand, from the decision and the facts it was taken from.

1. One `ClauseExplanation` a violated clause, in the decision's order: what it means (gloss), what it says (text), which
   fact, what it was, what was wanted, the nearest that would pass, and the remedy with who of my own party has it.
2. The full explanation is for the deciding party. `partner_view` is what a recipient's party may be told: its own
   refusals, by clause and reason. It never names other recipients or third parties, and quotes no fact; of a national
   caveat it has the partner text alone. `sender_view` is what a broker tells the sender, whose own caveats it may read
   whole, and of the recipients' the partner text alone.
3. Explaining changes nothing and decides nothing; a permitted portion has no explanation.
4. Explaining answers wherever deciding did: a fact of a wrong type denies, so what is told of it then is just that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from comity_policy import lowering
from comity_policy.clauses import Status
from comity_policy.decision import Baseline, Decision, Reason, ReportDecision, Violation, caveat_of
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement
from comity_policy.facts import Moment, NodeFacts, Profile, Times
from comity_policy.findings import baseline, clauses
from comity_policy.findings.case import NO_REMEDY, Case, Finding, Remedy, RemedyAction
from comity_policy.gloss import gloss
from comity_policy.sources import AnyClause, Source, layer_of

__all__ = [
    "ClauseExplanation",
    "PartnerExplanation",
    "Remedy",
    "RemedyAction",
    "explain",
    "explain_report",
    "partner_view",
    "sender_view",
]

BASELINE_KIND = "baseline"
CAVEAT_KIND = "national-caveat"
# What is told where a finding could not be put into words because what it would quote is not what it should be.
_WRONG_TYPE = Finding(
    "a fact this clause needs",
    "of a wrong type",
    "every fact of its own type: text, number, set of words or time",
    "with facts as the format says",
    NO_REMEDY,
)


@dataclass(frozen=True, slots=True)
class ClauseExplanation:
    """Why one clause refused, as the deciding party sees it."""

    clause_id: str
    kind: str
    gloss: str
    text: str
    status: tuple[Status, ...]
    reason: Reason
    fact: str
    got: str
    wanted: str
    nearest: str
    remedy: Remedy
    portions: tuple[int, ...]
    recipient_party: str
    partner_text: str = ""


@dataclass(frozen=True, slots=True)
class PartnerExplanation:
    """Why one clause refused, as the recipient's party may be told."""

    clause_id: str
    kind: str
    gloss: str
    text: str
    reason: Reason


def explain(  # noqa: PLR0917 - the arguments of decide, and its answer
    compiled: CompiledAgreement,
    profile: Profile,
    times: Times,
    portion_index: int,
    node: NodeFacts,
    moment: Moment,
    decision: Decision,
) -> tuple[ClauseExplanation, ...]:
    """Explain a decision taken from exactly these arguments, one explanation a violation, in its order."""
    return tuple(
        _explain(compiled, profile, times, portion_index, node, moment, violation) for violation in decision.violations
    )


def explain_report(  # noqa: PLR0917 - the arguments of decide_report, and its answer
    compiled: CompiledAgreement,
    profile: Profile,
    times: Times,
    nodes: Sequence[NodeFacts],
    moment: Moment,
    decision: ReportDecision,
) -> tuple[ClauseExplanation, ...]:
    """Explain a report's refusals, the same finding about several portions or nodes of one party told once."""
    by_name = {(node.party, node.node): node for node in nodes}
    merged: dict[ClauseExplanation, list[int]] = {}
    for (party, name, index), violations in decision.violations.items():
        for violation in violations:
            one = _explain(compiled, profile, times, index, by_name[party, name], moment, violation)
            portions = merged.setdefault(replace(one, portions=()), [])
            if index not in portions:
                portions.append(index)
    return tuple(replace(one, portions=tuple(sorted(portions))) for one, portions in merged.items())


def partner_view(explanations: Iterable[ClauseExplanation], party: str) -> tuple[PartnerExplanation, ...]:
    """Give what `party` may be told of its own refusals: clauses both signed and reasons, no fact, nobody else."""
    return tuple(dict.fromkeys(_for_partner(one) for one in explanations if one.recipient_party == party))


def sender_view(explanations: Iterable[ClauseExplanation], party: str) -> tuple[ClauseExplanation, ...]:
    """Give what the party that sends may be told: everything, but of another party's caveat its partner text alone."""
    merged: dict[ClauseExplanation, set[int]] = {}
    for one in explanations:
        named = caveat_of(one.clause_id)
        shown = one if named is None or named[0] == party else _closed(one, named)
        merged.setdefault(replace(shown, portions=()), set()).update(one.portions)
    return tuple(replace(one, portions=tuple(sorted(portions))) for one, portions in merged.items())


def _closed(one: ClauseExplanation, named: tuple[str, str]) -> ClauseExplanation:
    return replace(
        one,
        clause_id="/".join(named),
        kind=CAVEAT_KIND,
        gloss=one.partner_text,
        text=one.partner_text,
        status=(Status.ENFORCED,),
        reason=Reason.DENIED,
        fact="",
        got="",
        wanted="",
        nearest="",
        remedy=NO_REMEDY,
    )


def _for_partner(one: ClauseExplanation) -> PartnerExplanation:
    named = caveat_of(one.clause_id)
    if named is not None:
        return PartnerExplanation("/".join(named), CAVEAT_KIND, one.partner_text, one.partner_text, Reason.DENIED)
    return PartnerExplanation(one.clause_id, one.kind, one.gloss, one.text, one.reason)


def _explain(  # noqa: PLR0917 - the arguments of decide, and one violation
    compiled: CompiledAgreement,
    profile: Profile,
    times: Times,
    portion_index: int,
    node: NodeFacts,
    moment: Moment,
    violation: Violation,
) -> ClauseExplanation:
    source = compiled.source
    partner_text, document = "", source.document
    found: Callable[[Case], Finding]
    if violation.clause_id in baseline.FINDINGS:
        kind: str = BASELINE_KIND
        status: tuple[Status, ...] = (Status.ENFORCED,)
        meaning, text = baseline.TEXT[Baseline(violation.clause_id)]
        found = baseline.FINDINGS[violation.clause_id]
    else:
        layer, clause = layer_of(source, violation.clause_id)
        kind, status = _kind(clause), clause.status
        document = layer.document
        meaning, text = gloss(clause, document), _text(clause, document)
        found = partial(_found_by, clause)
        partner_text = "" if layer.caveat is None else layer.caveat.partner_text
    finding = _in_words(found, source, document, (profile, times, portion_index, node, moment), violation)
    return ClauseExplanation(
        violation.clause_id,
        kind,
        meaning,
        text,
        status,
        violation.reason,
        finding.fact,
        finding.got,
        finding.wanted,
        finding.nearest,
        finding.remedy,
        (portion_index,),
        str(node.party),
        partner_text,
    )


def _in_words(
    found: Callable[[Case], Finding],
    source: Source,
    document: Document,
    facts: tuple[Profile, Times, int, NodeFacts, Moment],
    violation: Violation,
) -> Finding:
    """Give what a rule found, by rule 4; `document` is the text whose tables the rule reads."""
    profile, times, portion_index, node, moment = facts
    try:
        table = lowering.table_at(document, profile.originator.party, node.party, times.created_at)
        portion = profile.portions[portion_index]
        case = Case(source, profile, times, portion, node, moment, table, violation.reason, violation.clause_id)
        finding = found(case)
    except (TypeError, AttributeError, KeyError):
        # A KeyError is a member that its table of words lacks: no member of that type.
        return _WRONG_TYPE
    told = (finding.fact, finding.got, finding.wanted, finding.nearest)
    return finding if all(isinstance(one, str) for one in told) else _WRONG_TYPE


def _found_by(clause: AnyClause, case: Case) -> Finding:
    return clauses.of_clause(case, clause)


def _kind(clause: AnyClause) -> str:
    return str(clause.__struct_config__.tag)


def _text(clause: AnyClause, document: Document) -> str:
    """Give the clause's text in the language that prevails, else in the first authentic one it has."""
    prevailing = document.languages.prevailing
    return clause.text.get(prevailing) or next(iter(clause.text.values()))
