"""`comity receive --replay-from`: from where, and what makes no sense beside it."""

import pytest
from click.testing import CliRunner

from comity.cli.main import cli
from comity.cli.receive_again import Start
from comity.errors import UsageError
from comity.node.times import moment_of

TIME = ("--replay-from", "2026-01-01")


@pytest.mark.parametrize(
    "words",
    [
        ("--replay-from", "9"),
        ("--replay-from", "yesterday"),
        ("--replay-from", ""),
        ("--agreement", "XAR-XBO-1"),
        (*TIME, "--follow"),
        (*TIME, "--take-over"),
        (*TIME, "--remove-recalled"),
        (*TIME, "--on-flash", "/bin/true"),
    ],
)
def test_what_makes_no_sense_together_is_refused_before_anything_is_looked_for(tmp_path, words):
    into = tmp_path / "in"
    command = ["receive", "--into", str(into), "--as", "XBO/n1", "--home", str(tmp_path / "none"), *words]
    ran = CliRunner().invoke(cli, command)
    assert isinstance(ran.exception, UsageError)
    assert not into.exists()


def test_a_number_is_an_entry_and_all_else_a_time():
    start = Start.of("9", "XAR-XBO-1")
    assert (start.agreement_id, start.since, start.entry) == ("XAR-XBO-1", None, 9)
    start = Start.of("2026-01-01T12:00:00Z", "")
    assert (start.agreement_id, start.entry) == ("", 0)
    assert start.since is not None
    assert start.since.timestamp() * 1000 == moment_of("2026-01-01T12:00:00Z")
    with pytest.raises(UsageError):
        Start.of("\u0669", "XAR-XBO-1")
