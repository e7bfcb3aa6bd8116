"""Names, statements about keys, cards and words: what is read is exactly what the tables say."""

from __future__ import annotations

import pytest

from builders_identity import DAY, NOW, malformed, nation, signed_again
from comity import statement
from comity.errors import ErrorCode, MalformedError
from comity.identity.bodies import (
    BrokerBundle,
    DirectoryKey,
    NodeBundle,
    OfficerAccreditation,
    PartyCard,
    Revocation,
    key_set_of,
    read_body,
)
from comity.identity.names import (
    Identity,
    IdentityKind,
    agreement_log_origin,
    broker_tls_name,
    check_trust_domain,
    exercise_of,
    key_log_origin,
    operations_log_origin,
    parse_spiffe,
    split_identity,
)
from comity.statement import sign_statement
from comity.suites import KeyRole
from comity_policy.facts import Role

XAR = nation("XAR")
N1 = XAR.node("n1", offices=("analysis", "watch"), communities=("ct",), accreditation=XAR.attestation())
OFFICER = XAR.officer("officer1", [Role.LIAISON, Role.LEGAL_REVIEWER], agreements=["XAR-XBO-1"], offices=["watch"])
ENVOY = XAR.officer("envoy", [Role.PLENIPOTENTIARY], clearance=XAR.attestation("TOP SECRET"))
HUB = XAR.broker("hub")
REVOCATION = XAR.revocation(N1.signer.fingerprint, compromised_at=NOW - DAY)
SAMPLES = {
    "party-card": XAR.card_statement,
    "directory-key": XAR.directory_statement,
    "node-bundle": N1.statement,
    "broker-bundle": HUB.statement,
    "officer-accreditation": OFFICER.statement,
    "revocation": REVOCATION,
    "node-capabilities": XAR.capabilities(N1),
}


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(IdentityKind))
def test_an_identity_is_written_and_read_in_both_forms(kind):
    identity = Identity.parse("XAR/n1", kind)
    assert str(identity) == "XAR/n1"
    uri = identity.spiffe_uri("xar.example")
    assert uri == f"spiffe://xar.example/{kind.value}/n1"
    spiffe = parse_spiffe(uri)
    assert (spiffe.trust_domain, spiffe.kind, spiffe.name, str(spiffe)) == ("xar.example", kind, "n1", uri)
    assert (kind.tls_role.value, kind.signing_role.value) == (f"{kind.value}-tls", f"{kind.value}-signing")


@pytest.mark.parametrize(
    "text",
    [
        *("XAR", "XAR/", "/n1", "XAR/n1/x", "xar/n1", "XARX/n1", "XA/n1", "XAR/N1", "XAR/-n1", "XAR/..", "XAR/."),
        *("XAR/n 1", "XAR/" + "n" * 64, "XAR/n1\n", "XAR/n\x00", "XAR\n/n1", "\uff38AR/n1", "XAR/n\uff11", "../n1"),
    ],
)
def test_a_name_that_could_leave_its_folder_is_no_identity(text):
    malformed(lambda: split_identity(text))


def test_a_made_identity_is_checked_as_a_read_one_is():
    malformed(lambda: Identity("XAR", IdentityKind.NODE, "../x"))
    malformed(lambda: Identity("xar", IdentityKind.NODE, "n1"))


@pytest.mark.parametrize(
    "domain",
    ["", ".", "Xar.example", "xar..example", "-xar.example", "xar-.example", "1.2.3.4", "xar.example.", "xar/x"],
)
def test_a_trust_domain_is_a_dns_name_and_no_address(domain):
    malformed(lambda: check_trust_domain(domain))


def test_the_longest_names_make_an_origin_of_at_most_255_bytes():
    domain = ".".join(["x" * 31, "y" * 32])
    assert len(domain) == 64
    tls_name = broker_tls_name("n" * 63, domain)
    longest = agreement_log_origin(tls_name, exercise_of("A" * 64), bytes(16))
    assert len(longest.encode()) <= 255
    malformed(lambda: broker_tls_name("n", domain + "z"))


def test_logs_are_called_after_broker_agreement_and_incarnation():
    tls_name, incarnation = broker_tls_name("hub", "xar.example"), bytes(range(16))
    number = "000102030405060708090a0b0c0d0e0f"
    assert tls_name == "hub.xar.example"
    assert agreement_log_origin(tls_name, "XAR-XBO-1", incarnation) == f"hub.xar.example/agreement/XAR-XBO-1/{number}"
    assert agreement_log_origin(tls_name, "XAR-XBO-1/exercise", incarnation).endswith(f"{number}/exercise")
    assert key_log_origin(tls_name, incarnation) == f"hub.xar.example/keys/{number}"
    assert operations_log_origin(tls_name, incarnation) == f"hub.xar.example/operations/{number}"


@pytest.mark.parametrize(
    ("tls_name", "agreement", "incarnation"),
    [
        ("hub", "XAR-XBO-1", bytes(16)),
        ("hub.xar.example/x", "XAR-XBO-1", bytes(16)),
        ("hub.xar.example", "XAR/XBO", bytes(16)),
        ("hub.xar.example", "X", bytes(16)),
        ("hub.xar.example", "XAR-XBO-1", bytes(15)),
    ],
)
def test_an_origin_of_anything_else_is_refused(tls_name, agreement, incarnation):
    malformed(lambda: agreement_log_origin(tls_name, agreement, incarnation))


# --- what is read ---------------------------------------------------------------------------------------------------


def test_every_statement_is_read_into_what_it_says():
    card, directory, node = (read_body(SAMPLES[name]) for name in ("party-card", "directory-key", "node-bundle"))
    broker, officer, revocation = (
        read_body(SAMPLES[name]) for name in ("broker-bundle", "officer-accreditation", "revocation")
    )
    assert isinstance(card, PartyCard)
    assert card.root_fingerprint == XAR.root.fingerprint
    assert isinstance(directory, DirectoryKey)
    assert directory.key.fingerprint == XAR.directory.fingerprint
    assert directory.authority == XAR.authority
    assert isinstance(node, NodeBundle)
    assert (node.offices, node.communities) == ({"analysis", "watch"}, {"ct"})
    assert {key.role.value for key in node.keys} == {"node-signing", "node-kem", "node-tls"}
    assert node.accreditation == XAR.attestation()
    assert node.key_set == key_set_of(N1.statement.body)
    assert isinstance(broker, BrokerBundle)
    assert [key.public[0] for key in broker.keys if key.role is KeyRole.LOG] == [0x01, 0x06]
    assert isinstance(officer, OfficerAccreditation)
    assert officer.roles == {Role.LIAISON, Role.LEGAL_REVIEWER}
    assert officer.agreements == {"XAR-XBO-1"}
    assert (officer.offices, officer.communities) == ({"watch"}, frozenset())
    assert isinstance(revocation, Revocation)
    assert (revocation.key, revocation.compromised_at) == (N1.signer.fingerprint, NOW - DAY)


@pytest.mark.parametrize("name", SAMPLES)
def test_an_unknown_or_missing_member_refuses(name):
    malformed(lambda: read_body(signed_again(SAMPLES[name], more=1)))
    for member in SAMPLES[name].fields:
        if member != "type":
            malformed(lambda: read_body(signed_again(SAMPLES[name], remove=(member,))))  # noqa: B023 - called at once


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("value", [None, True, -1, 2**53 - 1, "", "\x00", [], [None], {}, "zz", "ff"])
def test_a_member_of_another_kind_refuses_or_reads_as_itself(name, value):
    """No member takes any value: what is read gives back the very value, or refuses."""
    for member in SAMPLES[name].fields:
        if member == "type":
            continue
        try:
            body = read_body(signed_again(SAMPLES[name], **{member: value}))
        except MalformedError:
            continue
        read = getattr(body, member)
        assert not isinstance(value, bool)
        if isinstance(read, frozenset | tuple):
            assert sorted(read) == value
        else:
            assert read == value


def test_a_statement_of_another_type_is_none_about_keys():
    malformed(lambda: read_body(sign_statement({"type": "agreement-sign", "party": "XAR"}, XAR.root)))


def test_a_statement_that_is_not_canonical_json_never_exists():
    signatures = N1.statement.signatures
    for data in (N1.statement.body + b" ", N1.statement.body.replace(b'":', b'": ', 1)):
        malformed(lambda: statement.Statement(data, signatures))  # noqa: B023 - called at once


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("party-card", {"party": "xar"}),
        ("party-card", {"trust_domain": "10.0.0.1"}),
        ("party-card", {"name": "Re\u202epublic"}),
        ("party-card", {"name": "x" * 201}),
        ("party-card", {"root": {"suite": 1, "public": "00"}}),
        ("party-card", {"root": {"suite": 1, "public": XAR.root.public.hex(), "more": 1}}),
        ("party-card", {"issued_at": 0}),
        ("node-bundle", {"region": "Xar"}),
        ("node-bundle", {"offices": ["watch", "analysis"]}),
        ("node-bundle", {"offices": ["watch", "watch"]}),
        ("node-bundle", {"communities": ["Ct"]}),
        ("node-bundle", {"valid_from": NOW, "valid_until": NOW}),
        ("node-bundle", {"sequence": 0}),
        ("node-bundle", {"accreditation": {"level": "SECRET", "by": "XBO/security", "until": NOW}}),
        ("node-bundle", {"accreditation": {"level": "SECRET", "by": "XAR/security"}}),
        ("node-bundle", {"accreditation": {"level": "", "by": "XAR/security", "until": NOW}}),
        ("officer-accreditation", {"roles": ["king"]}),
        ("officer-accreditation", {"roles": ["node"]}),
        ("officer-accreditation", {"roles": ["liaison", "legal-reviewer"]}),
        ("officer-accreditation", {"agreements": ["xar"]}),
        ("officer-accreditation", {"offices": ["Watch"]}),
        ("officer-accreditation", {"communities": ["ct", "ct"]}),
        ("officer-accreditation", {"keys": []}),
        ("revocation", {"key": "00" * 47}),
        ("revocation", {"reason": ""}),
        ("revocation", {"reason": "x" * 201}),
        ("revocation", {"compromised_at": -1}),
        ("directory-key", {"valid_until": NOW + 89 * DAY + 1}),
        ("directory-key", {"issuing_certificate": "00"}),
        ("directory-key", {"issuing_certificate": "00" * 5000}),
        ("directory-key", {"public": "00" * 5000}),
        ("directory-key", {"public": "0"}),
        ("directory-key", {"public": XAR.root.public.hex().upper()}),
    ],
)
def test_a_member_out_of_its_form_refuses(name, changes):
    malformed(lambda: read_body(signed_again(SAMPLES[name], **changes)))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("node-bundle", {"offices": [f"office{number:03}" for number in range(65)]}),
        ("node-bundle", {"keys": [{}] * 17}),
        ("officer-accreditation", {"roles": ["liaison"] * 65}),
        ("officer-accreditation", {"agreements": [f"A{number:04}" for number in range(257)]}),
    ],
)
def test_an_over_long_list_refuses_before_its_items_are_read(name, changes):
    malformed(lambda: read_body(signed_again(SAMPLES[name], **changes)), ErrorCode.LIMIT_EXCEEDED)


def test_a_directory_key_lives_ninety_days_and_its_authority_as_long():
    longer = {"valid_from": NOW - DAY, "valid_until": NOW + 89 * DAY + 1}
    malformed(lambda: XAR.directory_key(**longer))
    short = XAR.authority_der(valid_until_ms=NOW + 30 * DAY)
    malformed(lambda: XAR.directory_key(issuing_certificate=short))
    late = XAR.authority_der(valid_from_ms=NOW)
    malformed(lambda: XAR.directory_key(issuing_certificate=late))
