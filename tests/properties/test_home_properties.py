"""What comes from other machines and from users as text: read strictly, or refused with a Comity error, never anything else."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_home import NOW, PASSPHRASE, party
from comity.cli.output import safe
from comity.errors import ComityError, UsageError
from comity.identity.names import Identity, IdentityKind
from comity.node.home import Home, Profile
from comity.node.identities import create_node, read_request
from comity.node.party import PartyKeys
from comity.node.requests import decode_issued, decode_request, encode_issued, encode_request
from comity.node.times import moment_of, rfc3339

NODE = Identity("XAR", IdentityKind.NODE, "n1")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("home"))
    party(home, "XAR")
    create_node(home, NODE, region="xar", profile=Profile(NODE), passphrase=PASSPHRASE, now_ms=NOW)
    request = read_request(home.place(NODE))
    issued = PartyKeys.open(home, "XAR", PASSPHRASE, now_ms=NOW).issue_node(request, now_ms=NOW)
    return encode_request(request), encode_issued(issued)


CODECS = ((decode_request, encode_request), (decode_issued, encode_issued))


@pytest.mark.parametrize(("which", "codec"), list(enumerate(CODECS)), ids=["request", "issued"])
@given(data=st.data())
def test_a_file_with_any_byte_changed_is_refused_or_is_another_file_in_its_one_form(files, which, codec, data):
    decode, encode = codec
    changed = bytearray(files[which])
    position = data.draw(st.integers(0, len(changed) - 1))
    changed[position] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(changed))
    except ComityError:
        return
    assert encode(found) == bytes(changed)


@pytest.mark.parametrize("codec", CODECS, ids=["request", "issued"])
@given(data=st.binary(max_size=2_000))
def test_arbitrary_bytes_are_refused_and_never_crash(codec, data):
    with pytest.raises(ComityError):
        codec[0](data)


@given(text=st.text(alphabet=st.characters(codec="utf-8")))
def test_what_is_shown_holds_nothing_a_terminal_obeys(text):
    shown = safe(text)
    assert all(character.isprintable() or character in "\t\n" or ord(character) > 0x9F for character in shown)
    assert "\x1b" not in shown
    assert len(shown) == len(text)
    assert safe(shown) == shown


@given(at_ms=st.integers(0, 253_402_300_799_000))
def test_a_time_that_was_written_is_read_as_the_same_time(at_ms):
    assert moment_of(rfc3339(at_ms)) == at_ms
    assert rfc3339(at_ms).endswith("Z")


@given(at_ms=st.integers(0, (1 << 53) - 1))
def test_any_time_that_a_peer_can_sign_is_shown(at_ms):
    assert rfc3339(at_ms)


@given(text=st.text(max_size=30))
def test_a_time_that_is_none_is_wrong_use(text):
    try:
        at_ms = moment_of(text)
    except UsageError:
        return
    assert isinstance(at_ms, int)


def test_a_date_is_its_first_moment_in_utc():
    assert moment_of("2027-01-31") == int(datetime(2027, 1, 31, tzinfo=UTC).timestamp()) * 1000


@given(
    address=st.from_regex(r"(\[[0-9a-f:]{2,20}\]|[a-z0-9.-]{1,40}):[1-9][0-9]{0,3}", fullmatch=True),
    name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True),
)
def test_every_profile_is_read_as_it_was_written(tmp_path_factory, address, name):
    place = Home(tmp_path_factory.getbasetemp()).place(NODE)
    profile = Profile(NODE, address, Identity("XAR", IdentityKind.BROKER, name))
    place.write_profile(profile)
    assert place.profile == profile
