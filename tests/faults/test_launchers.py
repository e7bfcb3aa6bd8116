"""Nothing that is shipped has a switch for what the launchers of the fault campaign do (house style: injected by the tests alone)."""

import pytest
from click.testing import CliRunner

import fault_broker
import fault_node
from comity.cli.receive import receive
from comity.cli.send import send
from comity_broker.cli.broker import broker
from fault_points import BROKER_POINTS, RECEIVER_POINTS, SENDER_POINTS, Point

# What the launcher of a broker has in common with the command.
SHARED = {"--data", "--listen", "--port-file", "--help"}
NODE_FAULTS = {"--arm", "--clock", "--poison", "--rate", "--first"}


def options_of(parser) -> set[str]:
    return {word for action in parser._actions for word in action.option_strings if word.startswith("--")}


def options_of_command(command) -> set[str]:
    return {word for option in command.params for word in option.opts}


def test_the_shipped_broker_has_none_of_the_launchers_switches():
    switches = options_of(fault_broker.parser()) - SHARED
    assert {"--arm", "--clock", "--sabotage", "--keep-trace", "--counts"} == switches
    assert options_of_command(broker.commands["run"]).isdisjoint(switches)


@pytest.mark.parametrize("switch", sorted(options_of(fault_broker.parser()) - SHARED))
def test_the_shipped_broker_refuses_each_of_them(switch):
    result = CliRunner().invoke(broker, ["run", "--data", "/nowhere", switch, "x"])
    assert result.exit_code == 2
    assert "No such option" in result.output


@pytest.mark.parametrize("command", [send, receive], ids=["send", "receive"])
def test_the_shipped_nodes_have_none_of_theirs(command):
    assert options_of(fault_node.parser()) >= NODE_FAULTS
    assert options_of_command(command).isdisjoint(NODE_FAULTS)


def test_every_point_belongs_to_one_process():
    points = [*BROKER_POINTS, *RECEIVER_POINTS, *SENDER_POINTS]
    assert len(points) == len(set(points))
    assert set(points) == set(Point)
