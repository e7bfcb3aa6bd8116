"""The names a program may rely on: few, each found without loading the rest, the same in the blocking face."""

import inspect
import subprocess
import sys

import pytest

import comity
from comity.node import sync
from comity.node.connecting import connect
from comity.node.delivery import Delivery
from comity.node.node import Node

NAMES = [
    "Attachment",
    "ComityError",
    "Delivery",
    "Marking",
    "Node",
    "Portion",
    "Preview",
    "ReadingOfficer",
    "Receipt",
    "ReceivedReport",
    "RefusedError",
    "Report",
    "Sent",
    "attached",
    "connect",
]


def test_the_public_names_are_these_and_no_others():
    assert comity.__all__ == NAMES
    assert dir(comity) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_documented_and_is_what_its_module_has(name):
    found = getattr(comity, name)
    assert inspect.getdoc(found)
    assert found.__name__ == name


def test_a_name_that_is_not_public_is_said_to_be_missing():
    with pytest.raises(AttributeError, match="no attribute 'Broker'"):
        _ = comity.Broker


def test_building_a_report_loads_no_network_and_no_database():
    script = "import comity, sys; comity.Report.text('x', marking='SECRET//REL TO XAR, XBO'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"grpc", "apsw", "google.protobuf"}


def public(kind: type) -> set[str]:
    return {name for one in kind.__mro__[:-1] for name in vars(one) if not name.startswith("_")}


def test_the_blocking_face_has_the_same_names():
    assert public(sync.Node) - {"identity"} == public(Node) - {"connection", "start", "close"}
    assert public(sync.Delivery) >= public(Delivery) - {
        "lane",
        "report_id",
        "expires_at",
        "segment_id",
        "segment_slots",
        "slot",
        "waits",
        "is_open",
    }
    said = inspect.signature(sync.connect).parameters
    assert [name for name in inspect.signature(connect).parameters if name in said] == list(said)


def test_every_public_method_is_documented():
    for kind in (Node, Delivery, sync.Node, sync.Delivery):
        assert [
            name for name in public(kind) if inspect.isroutine(getattr(kind, name)) and not getattr(kind, name).__doc__
        ] == []
