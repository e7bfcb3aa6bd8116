"""A mirror folds the whole life of an agreement: texts and caveats by their digests, umbrellas by their places, or not at all."""

import json

import pytest

from builders_audit import begun_audit, fresh_audit
from builders_audit_life import PARTNER_TEXT, SALT
from builders_audit_log import AGREEMENT
from builders_hostile import mirrored, refused
from builders_identity import fails
from comity.cli.agreement_facts import caveat_facts
from comity.cli.agreement_print import show_caveats
from comity.cli.output import Output
from comity.errors import ErrorCode, NotFoundError, VerificationError
from comity.node.agreement_texts import text_of
from comity.node.agreement_umbrella import UmbrellaPlaces
from comity.node.agreements import KINDS, AgreementFold
from comity.node.alarms import AlarmKind
from comity.node.logs import LogPin
from comity.statement import sign_statement
from comity.texts import agreement_digest, caveat_digest
from comity_broker.auditlog.events import BroughtCaveat
from comity_broker.auditlog.kinds import EventKind
from comity_policy.facts import Role
from comity_policy.lifecycle import Phase
from comity_policy.sections import Under
from comity_policy.steps import StepKind


def countered():
    """Give an audit in which XBO countered XAR's proposal, and the text it countered with."""
    audit = begun_audit()
    proposed = audit.statement(StepKind.PROPOSE, "XAR/lia", Role.LIAISON)
    audit.step(proposed, StepKind.PROPOSE)
    other = audit.text + b"# another round\n"
    named = agreement_digest(other).hex()
    statement = stated(audit, StepKind.COUNTER, "XBO/lia", proposed.digest.hex(), agreement_digest=named)
    audit.step(statement, StepKind.COUNTER)
    return audit, other


def stated(audit, kind, officer, follows, **fields):
    """Give a step that says something else than the audit's steps do."""
    role = fields.pop("role", Role.LIAISON)
    body = json.loads(audit.statement(kind, officer, role, follows).body)
    return sign_statement({**body, **fields}, audit.officers[officer].signer)


def caveat_text(audit, **changes):
    said = {"party": "XAR", "id": "C1", "digest": f"sha384:{audit.digest.hex()}", "partner": PARTNER_TEXT, **changes}
    return (
        f'[caveat]\nparty = "{said["party"]}"\nid = "{said["id"]}"\nagreement = "{AGREEMENT}"\n'
        f'digest = "{said["digest"]}"\npartner_text = "{said["partner"]}"\n[[clause]]\nid = "1"\nkind = "exclude"\n'
        'text = { en = "No." }\ncategories = ["terrorism"]\n'
    ).encode()


def with_caveat(text=None, *, party="XAR", shown=None, reader=None, audit=None):
    """Give an audit in which a party added a caveat; `shown` is what the body of `reader` has in place of the text."""
    audit = fresh_audit() if audit is None else audit
    text = caveat_text(audit, party=party) if text is None else text(audit)
    said = {"caveat": "C1", "caveat_digest": caveat_digest(SALT, text).hex(), "partner_text": PARTNER_TEXT}
    statement = audit.statement(StepKind.CAVEAT_ADD, f"{party}/plen", Role.PLENIPOTENTIARY, **said)
    audit.step(statement, StepKind.CAVEAT_ADD, caveat=BroughtCaveat(reader or party, shown or text, SALT))
    return audit


# --- texts ----------------------------------------------------------------------------------------------------------


def test_every_step_of_the_log_is_folded():
    steps = {kind for kind in EventKind if kind.startswith(("AGREEMENT_", "DISPUTE_"))}
    assert {*steps, "LOG_OPENED", "LOG_CONFIRMED", "KEY_REVOKED", "UMBRELLA_CHANGED"} == KINDS


async def test_a_counter_is_on_the_table_with_the_text_it_brought_also_after_a_restart(tmp_path):
    audit, other = countered()
    for _ in range(2):
        async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
            broker.texts = {agreement_digest(other): other}
            await refresh()
            view = mirror.agreement(AGREEMENT)
            assert view.state.phase is Phase.COUNTERED
            assert (view.document_bytes, view.digest) == (other, agreement_digest(other))
            assert list(view.texts.values()) == [audit.text, other]
    # From the file alone, without a broker.
    async with mirrored(audit, tmp_path) as (_, mirror, _):
        assert mirror.agreement(AGREEMENT).document_bytes == other


@pytest.mark.parametrize("given", [b"", b"[agreement]\n", b"x" * ((1 << 20) + 1)])
async def test_a_text_with_another_digest_than_its_step_names_stops_the_agreement(tmp_path, given):
    audit, other = countered()
    async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
        broker.texts = {agreement_digest(other): given}
        assert (await refused(refresh)).code is ErrorCode.DIGEST_MISMATCH
        assert AGREEMENT in mirror.faults
        # The right one mends it.
        broker.texts = {agreement_digest(other): other}
        await refresh()
        assert mirror.agreement(AGREEMENT).document_bytes == other


async def test_a_text_that_is_withheld_stops_the_agreement_alone(tmp_path):
    audit, _ = countered()

    def withhold(method, reply):
        if method == "GetAgreement" and not reply.document:
            raise NotFoundError("no such text", code=ErrorCode.AGREEMENT_UNKNOWN)
        return reply

    async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
        broker.lie = withhold
        assert "does not give the text that entry 2" in (await refused(refresh)).message
        assert mirror.directory.officer("XAR", "lia") is not None


async def test_a_step_out_of_order_stops_the_agreement(tmp_path):
    audit, other = countered()
    named = {"agreement_digest": agreement_digest(other).hex(), "role": Role.PLENIPOTENTIARY}
    audit.step(stated(audit, StepKind.SIGN, "XAR/plen", "aa" * 48, **named), StepKind.SIGN)
    async with mirrored(audit, tmp_path) as (broker, _, refresh):
        broker.texts = {agreement_digest(other): other}
        assert "does not allow" in (await refused(refresh)).message


# --- caveats --------------------------------------------------------------------------------------------------------


async def test_an_own_caveat_narrows_what_is_decided_here_from_its_entry_on(tmp_path):
    audit = with_caveat()
    async with mirrored(audit, tmp_path) as (_, mirror, refresh):
        await refresh()
        view, fold = mirror.agreement(AGREEMENT), mirror.fold(AGREEMENT)
        assert [one.id for one in view.compiled.source.caveats] == ["C1"]
        before = fold.state_before(len(audit.events) - 1, audit.time)
        assert fold.compiled(before, len(audit.events) - 1).source.caveats == ()
        assert view.partner_texts == {("XAR", "C1"): PARTNER_TEXT}


def with_ceiling(audit):
    levels = ", ".join(
        f'{{ from = "{one}", to = "{other}", level = "SECRET" }}' for one, other in (("XAR", "XBO"), ("XBO", "XAR"))
    )
    text = caveat_text(audit).decode().replace('"exclude"', '"ceiling"')
    return text.replace('categories = ["terrorism"]', f"limits = [{levels}]").encode()


async def test_an_own_caveat_that_does_not_read_under_the_version_is_an_alarm_once_and_shown(tmp_path, capsys):
    audit = begun_audit()
    proposed = audit.statement(StepKind.PROPOSE, "XAR/lia", Role.LIAISON)
    audit.step(proposed, StepKind.PROPOSE)
    with_caveat(with_ceiling, audit=audit)
    other = audit.text.replace(b'"SECRET"', b'"GEHEIM"')
    named = agreement_digest(other).hex()
    counter = stated(audit, StepKind.COUNTER, "XBO/lia", proposed.digest.hex(), agreement_digest=named)
    audit.step(counter, StepKind.COUNTER)
    async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
        broker.texts = {agreement_digest(other): other}
        for _ in range(2):
            await refresh()
        (alarm,) = mirror.alarms()
        assert (alarm.kind, alarm.subject) == (AlarmKind.CAVEAT_UNREAD, "XAR/C1, version 1")
        view = mirror.agreement(AGREEMENT)
        assert list(view.unread_caveats(view.document)) == ["C1"]
        assert [one.id for one in view.compiled.source.caveats[0].clauses] == ["does-not-read"]
        show_caveats(Output(), view)
        assert "DOES NOT READ under version 1" in capsys.readouterr().out
        assert "limits[0].level" in caveat_facts(view)[0]["unread"]


async def test_of_a_partners_caveat_only_its_partner_text_is_known(tmp_path):
    async with mirrored(with_caveat(), tmp_path, reader="XBO", party="XBO") as (_, mirror, refresh):
        await refresh()
        view = mirror.agreement(AGREEMENT)
        assert view.partner_texts == {("XAR", "C1"): PARTNER_TEXT}
        assert (dict(view.own_caveats), view.compiled.source.caveats) == ({}, ())


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"shown": b"another"}, "another text of our caveat"),
        ({"reader": "XBO"}, "keeps our own caveat from us"),
        ({"party": "XBO", "reader": "XAR"}, "gives XAR a caveat of XBO"),
        ({"text": lambda audit: caveat_text(audit, partner="Something else.")}, "something else than its step"),
        ({"text": lambda audit: caveat_text(audit, id="C2")}, "something else than its step"),
        ({"text": lambda audit: caveat_text(audit, digest="sha384:" + "00" * 48)}, "something else than its step"),
    ],
)
async def test_a_caveat_that_is_not_what_its_step_says_stops_the_agreement(tmp_path, made, words):
    async with mirrored(with_caveat(**made), tmp_path) as (_, mirror, refresh):
        assert words in (await refused(refresh)).message
        assert AGREEMENT in mirror.faults


# --- umbrellas ------------------------------------------------------------------------------------------------------

ORIGIN = "hub.xar.example/agreement/XAR-XBO-GSA/" + "00" * 16


def places(kind="umbrella", under="XAR-XBO-GSA"):
    """Give the places of an arrangement whose umbrella's log has ten entries."""
    text = begun_audit().text.replace(b'"XAR-XBO-1"', b'"XAR-XBO-GSA"', 1)
    if kind == "umbrella":
        head, *clauses = text.decode().split("[[clause]]")
        kept = [one for one in clauses if 'kind = "scope"' not in one]
        text = "[[clause]]".join([head, *kept]).replace('kind = "agreement"', 'kind = "umbrella"', 1).encode()
    fold = AgreementFold.begun(text_of("XAR-XBO-GSA", text), "XAR", LogPin(ORIGIN, ("a", "b")), _nothing)
    fold.taken = 10
    return UmbrellaPlaces("XAR-XBO-1", Under(under, "sha384:" + fold.first.digest), lambda _: fold)


def _nothing(name):
    raise NotFoundError(f"no agreement {name}", code=ErrorCode.AGREEMENT_UNKNOWN)


def test_an_arrangement_is_under_its_umbrella_as_of_the_last_change_before_it():
    one = places()
    assert one.at(None, 0) is None
    one.take(1, "XAR-XBO-GSA", ORIGIN, 3)
    one.take(7, "XAR-XBO-GSA", ORIGIN, 8)
    assert one.at(1, 0) is None
    assert [one.at(before, 0).log_index for before in (2, 7, 8, None)] == [3, 3, 8, 8]


@pytest.mark.parametrize(
    ("name", "origin", "index", "words"),
    [
        ("XAR-XBO-GSA", ORIGIN, 10, "which has 10"),
        ("XAR-XBO-GSA", ORIGIN, 1 << 52, "which has 10"),
        ("XAR-XBO-GSA", ORIGIN, 2, "goes back"),
        ("XAR-XBO-GSA", ORIGIN, 3, "goes back"),
        ("XAR-XBO-GSA", ORIGIN.replace("hub", "other"), 5, "another log"),
        ("XAR-XBO-9", ORIGIN, 5, "does not name"),
    ],
)
def test_an_umbrella_change_that_points_nowhere_or_back_is_refused(name, origin, index, words):
    one = places()
    one.take(1, "XAR-XBO-GSA", ORIGIN, 3)
    error = fails(lambda: one.take(4, name, origin, index), ErrorCode.STATEMENT_REJECTED, VerificationError)
    assert words in error.message


def test_what_is_no_umbrella_is_none():
    one = places(kind="agreement")
    error = fails(lambda: one.take(4, "XAR-XBO-GSA", ORIGIN, 3), ErrorCode.STATEMENT_REJECTED, VerificationError)
    assert "is no umbrella" in error.message


def test_an_umbrella_that_is_not_known_here_stops_the_arrangement():
    one = places()
    one.find = _nothing
    fails(lambda: one.take(4, "XAR-XBO-GSA", ORIGIN, 3), ErrorCode.AGREEMENT_UNKNOWN, NotFoundError)
