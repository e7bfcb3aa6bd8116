"""What a running broker takes over from its data directory: renewed cards and bundles, and nothing that somebody forged."""

import pytest

from builders_broker import World, brokered
from builders_home import NOW, PASSPHRASE, party
from builders_identity import DAY, Nation
from comity.errors import ErrorCode, KeyFault, StorageError
from comity.identity.cardfile import CardFile, encode_card_file
from comity.identity.names import Identity, IdentityKind
from comity.keys.signer import SoftSigner
from comity.keys.tls import TlsSecret, issue_authority, to_pem
from comity.node.home import Home, trust_card
from comity.node.party import PartyKeys, renew_party
from comity.suites import KeyRole, Suite, generate_signing
from comity_broker.clock import BrokerClock
from comity_broker.handshake import Credentials, Renewals
from comity_broker.installation import install, open_installation, prepare, renewal

HUB = Identity("XAR", IdentityKind.BROKER, "hub")


@pytest.fixture
def made(tmp_path):
    """A party and its broker, made as the commands make them, now."""
    clock = BrokerClock()
    home, data, now = Home(tmp_path / "home"), tmp_path / "hub", clock.now_ms()
    party(home, "XAR", now_ms=now)
    request = prepare(data, HUB, "xar", home.trusted_cards(), passphrase=PASSPHRASE, now_ms=now)
    install(data, PartyKeys.open(home, "XAR", PASSPHRASE, now_ms=now).issue_broker(request, now_ms=now), now)
    return home, data, clock


def issued(home, data, now):
    return PartyKeys.open(home, "XAR", PASSPHRASE, now_ms=now).issue_broker(renewal(data, PASSPHRASE), now_ms=now)


def test_a_renewal_asks_for_the_keys_that_the_broker_has(made):
    home, data, clock = made
    before = open_installation(data, PASSPHRASE, clock.now_ms())
    bundle = install(data, issued(home, data, clock.now_ms()), clock.now_ms())
    after = open_installation(data, PASSPHRASE, clock.now_ms())
    assert bundle.sequence == 2
    assert (after.key_pem, after.tls_name) == (before.key_pem, before.tls_name)
    assert after.certificate_pem != before.certificate_pem


def test_a_broker_takes_what_a_new_directory_key_signed_once_it_has_the_renewed_card(made):
    home, data, clock = made
    renewed = renew_party(home, "XAR", PASSPHRASE, now_ms=clock.now_ms())
    answer = issued(home, data, clock.now_ms())
    with pytest.raises(KeyFault) as refused:
        install(data, answer, clock.now_ms())
    assert refused.value.code is ErrorCode.BUNDLE_REJECTED
    trust_card(data / "cards", renewed)
    assert install(data, answer, clock.now_ms()).sequence == 2


def test_a_handshake_shows_a_renewed_certificate_and_no_other_brokers(made, caplog):
    home, data, clock = made
    installation = open_installation(data, PASSPHRASE, clock.now_ms())
    credentials = Credentials(installation, home.trusted_card("XAR").to_directory(), clock)
    credentials.server()
    assert credentials.renewed() is None
    answer = issued(home, data, clock.now_ms())
    install(data, answer, clock.now_ms())
    assert credentials.renewed() is not None
    assert credentials.certificate_pem == answer.certificate_pem
    assert credentials.renewed() is None
    other = data.parent / "other"
    request = prepare(
        other, Identity("XAR", IdentityKind.BROKER, "other"), "xar", home.trusted_cards(),
        passphrase=PASSPHRASE, now_ms=clock.now_ms(),
    )  # fmt: skip
    keys = PartyKeys.open(home, "XAR", PASSPHRASE, now_ms=clock.now_ms())
    wrong = keys.issue_broker(request, now_ms=clock.now_ms())
    for pem in (to_pem([wrong.certificate]), b"no certificate at all"):
        (data / "certificate.pem").write_bytes(pem)
        assert credentials.renewed() is None
        assert credentials.certificate_pem == answer.certificate_pem
    assert [one.message for one in caplog.records].count("certificate_not_taken") == 2


async def test_a_running_broker_logs_a_renewed_directory_key_once(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        renewals = watching(world)
        size = world.broker.keys.size
        renewed = renewed_card(world.xar)
        put(world, "XAR", encode_card_file(renewed))
        await renewals.look()
        assert world.broker.keys.size == size + 1
        assert len(world.broker.keys.authorities("XAR", world.clock.now_ms())) == 2
        put(world, "XAR", encode_card_file(renewed))
        await renewals.look()
        assert world.broker.keys.size == size + 1


async def test_a_renewal_that_met_a_full_disk_is_taken_when_there_is_room(tmp_path, monkeypatch, caplog):
    async with brokered(tmp_path / "hub") as world:
        renewals, size = watching(world), world.broker.keys.size
        put(world, "XAR", encode_card_file(renewed_card(world.xar)))
        with monkeypatch.context() as full:
            full.setattr(world.broker.directory, "take", no_room)
            for _ in range(3):
                await renewals.look()
        assert world.broker.keys.size == size
        await renewals.look()
        assert world.broker.keys.size == size + 1
        assert [one.message for one in caplog.records].count("statement_not_taken") == 2


async def no_room(*_):
    raise StorageError("the disk is full", code=ErrorCode.STORAGE_FULL)


async def test_a_renewal_that_was_refused_for_good_is_not_looked_at_again(tmp_path, monkeypatch):
    async with brokered(tmp_path / "hub") as world:
        renewals, asked = watching(world), []

        async def refused(statement, _):
            asked.append(statement)
            raise KeyFault("no", code=ErrorCode.BUNDLE_REJECTED)

        monkeypatch.setattr(world.broker.directory, "take", refused)
        put(world, "XAR", encode_card_file(renewed_card(world.xar)))
        for _ in range(3):
            await renewals.look()
        assert len(asked) == 2


def test_a_certificate_of_a_clock_a_little_ahead_is_shown_once_it_begins(tmp_path, caplog):
    now = [NOW]
    clock = BrokerClock(wall=lambda: now[0])
    home, data = Home(tmp_path / "home"), tmp_path / "hub"
    party(home, "XAR", now_ms=NOW)
    request = prepare(data, HUB, "xar", home.trusted_cards(), passphrase=PASSPHRASE, now_ms=NOW)
    install(data, PartyKeys.open(home, "XAR", PASSPHRASE, now_ms=NOW).issue_broker(request, now_ms=NOW), NOW)
    credentials = Credentials(open_installation(data, PASSPHRASE, NOW), home.trusted_card("XAR").to_directory(), clock)
    credentials.server()
    answer = issued(home, data, NOW + 4000)
    install(data, answer, NOW + 4000)
    assert [credentials.renewed() for _ in range(3)] == [None] * 3
    assert [one.message for one in caplog.records].count("certificate_not_taken") == 1
    now[0] = NOW + 4000
    assert credentials.renewed() is not None
    assert credentials.certificate_pem == answer.certificate_pem


async def test_a_running_broker_takes_no_card_of_another_root_and_none_that_does_not_read(tmp_path, caplog):
    async with brokered(tmp_path / "hub") as world:
        renewals, size = watching(world), world.broker.keys.size
        forger = Home(tmp_path / "forger")
        party(forger, "XAR", now_ms=world.clock.now_ms())
        forged = renew_party(forger, "XAR", PASSPHRASE, now_ms=world.clock.now_ms())
        put(world, "XAR", encode_card_file(forged))
        await renewals.look()
        put(world, "XAR", b"{}")
        await renewals.look()
        assert world.broker.keys.size == size
        assert {"statement_not_taken", "renewal_not_read"} <= {one.message for one in caplog.records}


async def test_a_running_broker_learns_no_party_from_a_card_that_appears(tmp_path):
    async with brokered(tmp_path / "hub") as world:
        renewals, size = watching(world), world.broker.keys.size
        stranger = Home(tmp_path / "stranger")
        put(world, "XDE", encode_card_file(party(stranger, "XDE", now_ms=world.clock.now_ms())))
        await renewals.look()
        assert world.broker.keys.size == size
        assert set(world.broker.keys.cards) == {"XAR", "XBO"}


def renewed_card(nation: Nation) -> CardFile:
    """Give a nation's card file with a second directory key and authority, for ninety days from now."""
    ends = nation.now + 90 * DAY
    fresh, authority = SoftSigner(generate_signing(Suite.HYBRID), KeyRole.DIRECTORY), TlsSecret.generate()
    der = issue_authority(
        authority,
        party=nation.party,
        trust_domain=nation.trust_domain,
        valid_from_ms=nation.now,
        valid_until_ms=ends,
    )
    statement = nation.directory_key(
        key=fresh, issuing_certificate=der, valid_from=nation.now, valid_until=ends, sequence=2
    )
    return CardFile(nation.card, (nation.directory_statement, statement))


def watching(world: World) -> Renewals:
    return Renewals(world.installation, world.broker.directory)


def put(world: World, code: str, data: bytes) -> None:
    """Write a card as `comity party trust --data` does: whole, under its name."""
    cards = world.data / "cards"
    cards.mkdir(exist_ok=True)
    temporary = cards / "new"
    temporary.write_bytes(data)
    temporary.rename(cards / f"{code}.card")
