"""What a remedy tells people to type exists: command by command, option by option."""

import re
import shlex

import click
import pytest

from comity.cli.main import cli
from comity_policy.explanation import explain
from engine_cases import CASES

REFUSED = {name: situation for name, (situation, expected) in CASES.items() if expected}


def commands_told() -> set[str]:
    """Give every command that the decision table's refusals tell somebody to type."""
    found = set()
    for situation in REFUSED.values():
        compiled, facts = situation.compiled(), situation.facts()
        for one in explain(compiled, *facts, compiled.decide(*facts)):
            found.add(re.sub(r"'[^']*'", "WORDS", one.remedy.command))
    return found - {""}


def resolved(words: list[str]) -> tuple[click.Command, list[str]]:
    """Give the command that words name and what is left of them; raises KeyError where there is none."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            raise KeyError(words[0])
        command, words = found, words[1:]
    return command, words


def test_every_command_of_a_remedy_exists_with_its_options() -> None:
    told = commands_told()
    assert len(told) > 5
    for one in told:
        program, *words = shlex.split(one)
        assert program == "comity", one
        command, rest = resolved(words)
        assert not isinstance(command, click.Group), f"{one} names a group"
        known = {option for param in command.params for option in param.opts}
        assert {word for word in rest if word.startswith("--")} <= known, one


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(KeyError):
        resolved(["consent", "ask"])
