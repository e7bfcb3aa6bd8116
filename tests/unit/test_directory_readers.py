"""What the directory attests of an officer who reads."""

import pytest

from builders_identity import DAY, NOW, directory_of, fold, nation
from comity.errors import ErrorCode, KeyFault
from comity_policy.facts import Reader


@pytest.fixture
def xar():
    return nation("XAR")


def analyst(xar, **facts):
    given = {"offices": ("watch",), "communities": ("ct",), "agreements": ("XAR-XBO-1",)}
    return xar.officer("analyst1", **{**given, "clearance": xar.attestation("SECRET", NOW + DAY), **facts})


def test_a_readers_facts_are_what_the_accreditation_says(xar):
    officer = analyst(xar)
    directory = directory_of(xar)
    assert directory.reader(officer.signer.fingerprint, "XAR-XBO-1", NOW) == Reader(
        officer="XAR/analyst1",
        offices=frozenset({"watch"}),
        communities=frozenset({"ct"}),
        clearance_level="SECRET",
        clearance_until=NOW + DAY,
    )
    assert directory.officers_under("XAR", "XAR-XBO-1", NOW) == {"XAR/analyst1"}
    assert directory.officers_under("XBO", "XAR-XBO-1", NOW) == frozenset()


def test_an_accreditation_for_other_agreements_makes_no_reader(xar):
    officer = analyst(xar)
    directory = directory_of(xar)
    with pytest.raises(KeyFault, match="not accredited for XAR-XDE-1"):
        directory.reader(officer.signer.fingerprint, "XAR-XDE-1", NOW)
    assert directory.officers_under("XAR", "XAR-XDE-1", NOW) == frozenset()


def test_no_clearance_is_not_attested(xar):
    officer = analyst(xar, clearance=None, agreements=())
    reader = directory_of(xar).reader(officer.signer.fingerprint, "XAR-XBO-1", NOW)
    assert (reader.clearance_level, reader.clearance_until) == (None, None)


def test_a_withdrawn_revoked_or_expired_officer_reads_nothing_more(xar):
    officer = analyst(xar)
    key = officer.signer.fingerprint
    directory = directory_of(xar)
    before = directory.size
    fold(directory, xar.revocation(key))
    for check in (lambda: directory.reader(key, "XAR-XBO-1", NOW), lambda: directory.officer_by_key(key, NOW)):
        with pytest.raises(KeyFault) as refused:
            check()
        assert refused.value.code is ErrorCode.KEY_REVOKED
    assert directory.officers_under("XAR", "XAR-XBO-1", NOW) == frozenset()
    assert directory.officers_under("XAR", "XAR-XBO-1", NOW, before) == {"XAR/analyst1"}
    record = directory.officer("XAR", "analyst1")
    assert directory.officers_under("XAR", "XAR-XBO-1", record.valid_until, before) == frozenset()
