"""The commands of a treaty's life, where no broker is needed: what they ask for, and what of a peer's text they show."""

import click
import pytest

from builders_audit import fresh_audit
from builders_audit_life import PARTNER_TEXT
from builders_home import Machine
from builders_hostile import AGREEMENT, mirrored
from comity.cli.agreement_facts import standing, view_facts
from comity.cli.agreement_print import show_clauses, show_treaty
from comity.cli.agreement_steps import Meant
from comity.cli.base import Invocation
from comity.cli.output import Output, mixed_scripts, safe
from comity.errors import AccessError, NotFoundError
from comity.node.agreement_texts import text_of
from comity_policy.facts import Role
from comity_policy.lifecycle import Version
from comity_policy.steps import StepKind


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine.made(tmp_path_factory.mktemp("arden"))


@pytest.mark.parametrize(
    "words",
    [
        ("renew", AGREEMENT, "--object"),
        ("renew", AGREEMENT, "--reason", "why"),
        ("notify-completion", AGREEMENT, "--instrument", "Law 17"),
        ("notify-completion", AGREEMENT, "--receive", "XBO", "--date", "2027-01-04"),
        ("dispute", "open", AGREEMENT, "--until", "2027-01-04", "--reason", "why"),
        ("dispute", "open", AGREEMENT, "--report", "r", "--entry", "1", "--until", "2027-01-04", "--reason", "why"),
        ("object", AGREEMENT, "--reason", "why"),
        ("object", AGREEMENT, "--clause", "3.1", "--reason", "why", "--as", "XAR/officer1"),
        ("terminate", AGREEMENT),
        ("notes", "file.toml"),
        ("show", AGREEMENT, "--history", "--text"),
        *((step, AGREEMENT, "--as", "XAR/officer1") for step in ("review", "initial", "sign", "accede")),
    ],
)
def test_half_a_step_is_wrong_use(machine, words):
    ran = machine.run("agreement", *words, "--json")
    assert (ran.code, ran.error["code"]) == (2, "USAGE")


@pytest.mark.parametrize("command", ["counter", "amend"])
def test_a_text_that_does_not_load_is_refused_before_anybody_is_asked(machine, tmp_path, command):
    path = tmp_path / "x.toml"
    path.write_text("[agreement]\n")
    ran = machine.run("agreement", command, str(path), "--as", "XAR/officer1", "--json")
    assert (ran.code, ran.error["code"]) == (14, "AGREEMENT_INVALID")


def test_a_caveat_without_a_heading_is_refused_with_its_place(machine, tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("[[clause]]\n")
    ran = machine.run("agreement", "caveat", "add", str(path), "--as", "XAR/officer1", "--json")
    assert (ran.code, ran.error["code"]) == (14, "AGREEMENT_INVALID")
    assert "section 'caveat' is missing" in ran.error["message"]


async def test_a_treaty_is_shown_with_who_suspended_what_and_why(tmp_path, capsys):
    audit = fresh_audit()
    given = {"clauses": ("3.1",), "reason": "a leak"}
    statement = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, **given)
    audit.step(statement, StepKind.SUSPEND)
    async with mirrored(audit, tmp_path) as (_, mirror, refresh):
        await refresh()
        view = mirror.agreement(AGREEMENT)
    show_treaty(Output(), view)
    shown = capsys.readouterr().out
    for words in (
        "reviewed, signed",
        "Article 3.1 (scope)",
        "SUSPENDED by XBO",
        "on signature (days of UTC)",
        "bound from",
    ):
        assert words in shown
    assert standing(view) == [f"{AGREEMENT} is IN FORCE, with clauses suspended: 3.1."]
    facts = view_facts(view)
    assert facts["suspended_clauses"] == {"3.1": ["XBO"]}
    assert (facts["pending"], facts["caveats"], facts["disputes"]) == (None, [], [])


def test_a_word_that_mixes_scripts_is_named_and_a_language_of_its_own_is_not(capsys):
    text = fresh_audit().text.decode()
    # The second letter is CYRILLIC SMALL LETTER A.
    mixed = text.replace("the information", "the inform\u0430tion", 1).replace("classification", "classific\u0430tion")
    assert mixed != text
    show_clauses(Output(), text_of(AGREEMENT, mixed.encode()).document, {})
    assert "classific\\u0430tion" in capsys.readouterr().out
    assert mixed_scripts("\u0414\u043e\u0433\u043e\u0432\u043e\u0440 \u0391\u03c1\u03b9\u03b8 agreement") == ()
    assert safe(PARTNER_TEXT) == PARTNER_TEXT


def test_who_objects_is_shown_the_clauses_and_asked(capsys, monkeypatch):
    version = Version(document=text_of(AGREEMENT, fresh_audit().text).document, digest="ab" * 48)
    asked: list[str] = []
    monkeypatch.setattr(click, "confirm", lambda question, **_: asked.append(question) is not None)
    meant = Meant("object to", "", yes=False, clauses=("3.1",), reason="too wide")
    with pytest.raises(AccessError):
        meant.settle(Invocation(Output()), "XAR/lawyer1", version)
    shown = capsys.readouterr().err
    assert asked == ["To object to exactly this text?"]
    for words in (f"sha384:{'ab' * 48}", "  clause 3.1:", "    en: ", "    it means: ", "  reason: too wide"):
        assert words in shown
    with pytest.raises(NotFoundError, match="has no clause 99"):
        Meant("object to", "", yes=True, clauses=("99",)).settle(Invocation(Output()), "XAR/lawyer1", version)


@pytest.mark.parametrize(
    "hidden", ["\x1b", "\x9b", "\u202e", "\u200b", "\u2066", "\ufeff", "\xad", "\U000e0041", "\u2060"]
)
def test_what_nobody_sees_is_shown(hidden):
    assert safe(f"SEC{hidden}RET") == "SEC\ufffdRET"
