"""The command line as a whole: every command has an example that stands, errors are one line, exit codes are the design's."""

import gc
import io
import json
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from comity.cli import output
from comity.cli.base import Command, Invocation, Output, loading_begins
from comity.cli.main import cli, main
from comity.cli.preview import tell_asked
from comity.errors import ErrorCode, RefusedError, UsageError
from comity.node.times import rfc3339
from comity_policy.decision import Reason
from comity_policy.explanation import ClauseExplanation, Remedy, RemedyAction
from comity_policy.readers import AskedAtOpening

PROGRAM = [sys.executable, "-m", "comity.cli.main"]
# What design 01 names for later releases must not be listed: no command that does not exist.
LATER = ("consent", "rfi", "witness", "joint", "assist", "exercise")


def ran(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    return code, out.getvalue(), err.getvalue()


def commands(group=cli, path=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


ALL = list(commands())
NAMES = [" ".join(path) for path, _ in ALL]


def test_no_library_writes_beside_the_one_line_of_an_error():
    """The core of gRPC logs by itself, at any time, and to standard error."""
    script = "import os, sys; sys.argv[1:] = ['--version']; from comity.cli.main import main; main(); import grpc; print(os.environ['GRPC_VERBOSITY'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "NONE"


def test_help_names_every_group_and_loads_none_of_them():
    script = (
        "import sys; from comity.cli.main import main; main(['--help']); print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for name in ("party", "node", "officer", "agreement", "send", "receive", "report", "audit", "broker", "demo"):
        assert f"\n  {name} " in done.stdout
    loaded = set(done.stderr.split())
    assert not {"grpc", "rich", "cryptography", "comity.node", "comity_policy.engine", "comity_broker"} & loaded


def test_the_collector_waits_while_a_command_is_loaded_and_works_when_it_runs():
    try:
        loading_begins()
        assert not gc.isenabled()
        assert ran("completion", "bash")[0] == 0
        assert gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("name", LATER)
def test_a_command_of_a_later_release_is_not_offered(name):
    code, _, err = ran(name)
    assert code == 2
    assert "No such command" in err


@pytest.mark.parametrize(("path", "command"), ALL, ids=NAMES)
def test_every_command_has_an_example_that_its_own_parser_takes(path, command):
    assert isinstance(command, Command)
    text = command.example.replace("\\\n", " ")
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if "|" in words:
            words = words[words.index("|") + 1 :]
        words = words[: words.index(">")] if ">" in words else words
        assert words[: 1 + len(path)] == ["comity", *path]
        command.make_context(" ".join(path), words[1 + len(path) :], parent=click.Context(cli)).close()


@pytest.mark.parametrize(("path", "command"), ALL, ids=NAMES)
def test_every_command_has_the_options_of_every_command(path, command):
    shown = CliRunner().invoke(cli, [*path, "--help"]).output
    for option in ("--as", "--broker", "--home", "--json", "--quiet", "--passphrase-file", "Example:"):
        assert option in shown


@pytest.mark.parametrize(("path", "command"), ALL, ids=NAMES)
def test_no_option_takes_a_passphrase_itself(path, command):
    for parameter in command.params:
        for option in parameter.opts:
            assert "passphrase" not in option or option.endswith("-file")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_written_for_each_shell(shell):
    code, out, _ = ran("completion", shell)
    assert code == 0
    assert "_COMITY_COMPLETE" in out


def test_the_shell_completes_groups_and_commands():
    environment = {"_COMITY_COMPLETE": "bash_complete", "COMP_WORDS": "comity agree", "COMP_CWORD": "1"}
    done = subprocess.run(
        [Path(sys.executable).with_name("comity")], capture_output=True, text=True, check=False, env=environment
    )
    assert "agreement" in done.stdout


def test_wrong_use_is_exit_code_two_and_one_json_object():
    code, out, err = ran("party", "create", "XAR", "--json")
    assert (code, out) == (2, "")
    error = json.loads(err)["error"]
    assert error["code"] == "USAGE"
    assert "--name" in error["message"]
    assert error["what_to_do"] == "comity party create --help"


def test_a_part_that_is_not_installed_says_how_to_install_it():
    script = (
        "import sys; sys.modules['grpc_health'] = None; sys.modules['comity_broker'] = None; "
        "from comity.cli.main import main; sys.exit(main(['broker', 'status', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 69
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "NOT_INSTALLED"
    assert "comity[broker]" in error["what_to_do"]


def test_a_bug_of_ours_is_exit_code_one_and_says_so(monkeypatch):
    monkeypatch.setattr(cli, "main", lambda *_args, **_more: 1 // 0)
    code, _, err = ran("party", "list")
    assert code == 1
    assert "ZeroDivisionError" in err
    assert "a defect of Comity" in err


def test_an_interruption_is_exit_code_130(monkeypatch):
    def interrupted(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    assert ran("party", "list")[0] == 130


def refusal() -> RefusedError:
    clause = ClauseExplanation(
        clause_id="4",
        kind="ceiling",
        gloss="Nothing above SECRET.",
        text="Information of a higher level\x1b[31m shall not be provided.",
        status=(),
        reason=Reason.DENIED,
        fact="classification",
        got="TOP-SECRET",
        wanted="at most SECRET",
        nearest="SECRET//REL TO XAR, XBO",
        remedy=Remedy(RemedyAction.SANITISE, "comity preview FILE", "release-authority of XAR"),
        portions=(0, 2),
        recipient_party="XBO",
    )
    return RefusedError("the agreement XAR-XBO-1 refuses", clauses=(clause,))


def test_a_refusal_names_the_clause_with_its_text_and_remedy_for_people_and_programs(capsys):
    output.report_error(refusal(), as_json=False)
    text = capsys.readouterr().err
    for words in ("clause 4 (ceiling), portion 1, 3", "Nothing above SECRET.", "TOP-SECRET", "comity preview FILE"):
        assert words in text
    output.report_error(refusal(), as_json=True)
    (clause,) = json.loads(capsys.readouterr().err)["error"]["clauses"]
    assert (clause["clause_id"], clause["reason"], clause["portions"]) == ("4", "DENIED", [0, 2])
    assert clause["remedy"]["action"] == "sanitise"


def test_what_a_peer_wrote_cannot_drive_a_terminal(capsys):
    output.report_error(refusal(), as_json=False)
    output.report_error(UsageError("a\x1b]0;owned\x07b\u202ec"), as_json=False)
    text = capsys.readouterr().err
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text


HOSTILE = "\x00\x07\x1b[2J\x7f\x85\x9b2J\xad\u200b\u200e\u2028\u202e\u2066\ufeff\U000e0041"


def test_nothing_that_a_command_writes_can_drive_a_terminal_or_hide(capsys):
    """Explanations, previews and every other line for people; and what programs print on a terminal."""
    people, programs, asked = Output(), Output(json=True), AskedAtOpening("5", "use", HOSTILE, HOSTILE)
    for write in (people.say, people.show, people.note):
        write(HOSTILE, *((HOSTILE,) if write != people.note else ()))
    people.banner(HOSTILE)
    people.table(("NAME",), [(HOSTILE,)], "")
    people.alarm(HOSTILE)
    tell_asked(Invocation(output=people), [asked])
    for_people = "".join(capsys.readouterr())
    programs.record(text=HOSTILE, within=[{HOSTILE: HOSTILE}])
    programs.alarm("", detail=HOSTILE)
    output.report_error(UsageError(HOSTILE), as_json=True)
    told = capsys.readouterr()
    for_programs = told.out + told.err
    for letter in set(HOSTILE) - set("[2J"):
        assert letter not in for_people
        assert letter not in for_programs
    assert json.loads(told.out) == {"text": HOSTILE, "within": [{HOSTILE: HOSTILE}]}
    assert json.loads(told.err.splitlines()[-1])["error"]["message"] == HOSTILE


def test_output_for_programs_has_no_line_for_people_and_the_other_way_round(capsys):
    programs, people, quiet = Output(json=True), Output(), Output(quiet=True)
    for one in (programs, people, quiet):
        one.record(at=rfc3339(1_790_000_000_500), digest=b"\x01", absent=None)
        one.say("said")
        one.show("shown")
        one.banner("SECRET//REL TO XAR, XBO")
        one.banner("OPEN", asked=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        '{"at": "2026-09-21T14:13:20.500Z", "digest": "01"}',
        "said",
        "shown",
        "[SECRET//REL TO XAR, XBO]",
        "[OPEN]",
        "shown",
        "[SECRET//REL TO XAR, XBO]",
    ]


def test_every_error_code_has_an_exit_code_of_the_design():
    codes = {UsageError("", code=code).exit_code for code in ErrorCode}
    assert codes <= {1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 69}


def shown() -> list[tuple[str, str]]:
    """Give (document, command) for every `comity` command that a document shows."""
    repository = Path(__file__).resolve().parents[2]
    documents = [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]
    found = []
    for document in documents:
        text = document.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:console|sh|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.match(r"(?:[a-z-]*\$ )?(?:sudo |.*\| )?(?:\S*\.venv/bin/)?(comity .*)", line)
                if command:
                    found.append((document.name, command[1]))
    return found


@pytest.mark.parametrize(("document", "line"), shown() or [("none", "comity --version")])
def test_every_command_that_the_documents_show_is_one_that_parses(document, line):
    words = shlex.split(line, comments=True)
    words = words[1 : words.index(">") if ">" in words else None]
    if set(words) & {"--help", "--version"}:
        return
    group, path = cli, []
    while isinstance(group, click.Group):
        path.append(words.pop(0))
        group = group.get_command(click.Context(group), path[-1])
        assert group is not None, f"{document}: comity {' '.join(path)} does not exist"
    group.make_context(" ".join(path), words, parent=click.Context(cli)).close()
