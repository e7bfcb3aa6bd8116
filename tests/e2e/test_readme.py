"""What README and guides show, done: every command in its order, in a fresh directory, with a broker as a process of its own.

A document that shows something else than what comes out fails here, at its file and line.
"""

from pathlib import Path

import pytest

from documents import LEFT_OUT, WORLDS, Block, steps
from terminals import Terminals

# What the operator's guide takes as given: two parties, and a machine of an officer who has their cards.
PARTIES = """\
hub$ (umask 077; echo 'four words nobody sings' > passphrase)
keys$ export COMITY_HOME=$PWD/keys COMITY_PASSPHRASE_FILE=$PWD/passphrase
arden$ export COMITY_HOME=$PWD/keys COMITY_PASSPHRASE_FILE=$PWD/passphrase
bohemund$ export COMITY_HOME=$PWD/bohemund COMITY_PASSPHRASE_FILE=$PWD/passphrase
keys$ comity party create XAR --name 'Republic of Arden' --trust-domain xar.example --jurisdiction XAR
keys$ comity party export XAR --into XAR.card
bohemund$ comity party create XBO --name 'Bohemund Federation' --trust-domain xbo.example --jurisdiction XBO
bohemund$ comity party export XBO --into XBO.card
"""

# What the guide to writing agreements takes as given: the cards of both parties, on the machine of whoever drafts.
CARDS = """\
arden$ (umask 077; echo 'four words nobody sings' > passphrase)
arden$ export COMITY_HOME=$PWD/arden COMITY_PASSPHRASE_FILE=$PWD/passphrase
arden$ comity party create XAR --name 'Republic of Arden' --trust-domain xar.example --jurisdiction XAR
arden$ comity party create XBO --name 'Bohemund Federation' --trust-domain xbo.example --jurisdiction XBO
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", ["quick start", "user's guide"])
def test_every_command_does_what_its_document_shows(world, tmp_path):
    with Terminals(tmp_path, left_out=LEFT_OUT) as terminals:
        follow(terminals, *WORLDS[world])


def test_a_broker_is_made_run_and_checked_as_the_operators_guide_shows(tmp_path):
    etc, var = tmp_path / "etc", tmp_path / "var"
    terminals = Terminals(
        tmp_path,
        # The directories that systemd would give; a test is not root.
        variables={"STATE_DIRECTORY": str(var), "CONFIGURATION_DIRECTORY": str(etc)},
        replaced={"sudo ": "", "/opt/comity/.venv/bin/": "", "/etc/comity": str(etc), "/var/lib/comity": str(var)},
        left_out=LEFT_OUT,
    )
    with terminals:
        terminals.type_all(steps(Block(Path(__file__), 1, "console", "", PARTIES)))
        follow(terminals, *WORLDS["operator's guide"])


@pytest.mark.timeout(600)
def test_an_agreement_is_written_checked_tested_and_proved_as_its_guide_shows(tmp_path):
    with Terminals(tmp_path, left_out=LEFT_OUT) as terminals:
        terminals.type_all(steps(Block(Path(__file__), 1, "console", "", CARDS)))
        follow(terminals, *WORLDS["writing agreements"])


def follow(terminals: Terminals, *documents: Path) -> None:
    for document in documents:
        before = terminals.typed
        terminals.follow(document)
        assert terminals.typed > before, f"{document.name} shows no command"
