"""The declarations in the protocol files are those of the hand-written table, and none is missing."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from access_table import TABLE, roles_of
from comity.errors import ComityError
from comity_broker.services.declarations import declarations


def test_every_method_is_declared_as_the_hand_written_table_says():
    declared = declarations()
    assert declared.keys() == TABLE.keys()
    assert {method: one.roles for method, one in declared.items()} == {method: roles_of(method) for method in TABLE}


def test_methods_for_the_operator_are_for_the_operator_of_the_brokers_own_party():
    operators = {method for method, letters in TABLE.items() if "O" in letters}
    assert {method for method, one in declarations().items() if one.operator_only} == operators


def test_a_method_without_a_declaration_does_not_start():
    file = descriptor_pb2.FileDescriptorProto(name="nobody.proto", package="nobody", syntax="proto3")
    file.message_type.add(name="Empty")
    service = file.service.add(name="Open")
    service.method.add(name="Door", input_type=".nobody.Empty", output_type=".nobody.Empty")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    with pytest.raises(ComityError, match=r"nobody\.Open\.Door does not declare"):
        declarations([pool.FindFileByName("nobody.proto")])
