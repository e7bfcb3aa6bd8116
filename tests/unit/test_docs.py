"""The documents tell the truth: what they link, name and show exists, and what is not built is said not to be there."""

import re
import shlex

import click
import msgspec
import pytest

from comity.cli.main import cli
from comity.errors import ErrorCode, UsageError
from comity_broker.settings import Settings
from comity_policy.facts import Role
from documents import (
    EVERY,
    GUIDES,
    LEFT_OUT,
    REPOSITORY,
    WORLDS,
    anchors,
    anywhere,
    blocks,
    conversation,
    inline_code,
    links,
    paragraphs,
    prose,
    shows,
)

DOCS = REPOSITORY / "docs"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
LATER = re.compile(
    r"\bwitness|\bfederat|\bpostgres|\bconsole\b"
    r"|\bkubernetes|\bhelm\b|\bpkcs|\banchor for",
    re.IGNORECASE,
)
SAID = re.compile(r"\bnot (?:in|part of) this release\b", re.IGNORECASE)


def by_name(documents):
    return pytest.mark.parametrize("document", documents, ids=lambda one: str(one.relative_to(REPOSITORY)))


# --- what is named exists -------------------------------------------------------------------------------------------


@by_name(EVERY)
def test_every_link_leads_somewhere(document):
    for link in links(document):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{document.name} links to {link}, which has no such heading"


@by_name(EVERY)
def test_every_test_that_is_named_is_there(document):
    for file, name in TEST.findall(document.read_text(encoding="utf-8")):
        path = REPOSITORY / file
        assert path.is_file(), f"{document.name} names {file}"
        found = re.search(rf"^(?:async )?def {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert found, f"{document.name} names {file}::{name}"


def test_every_row_of_the_threat_model_names_its_test():
    rows, wanted = 0, False
    for line in prose(DOCS / "threat-model.md").splitlines():
        if not line.startswith("|"):
            wanted = False
        elif line.endswith("| test |"):
            wanted = True
        elif wanted and not set(line) <= set("|- "):
            rows += 1
            assert TEST.search(line.rstrip(" |").rpartition("|")[2]), line
    assert rows > 60


def test_every_guide_is_listed():
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "README.md")}
    assert {one.resolve() for one in GUIDES} - {DOCS / "README.md"} <= listed


# --- commands -------------------------------------------------------------------------------------------------------


@by_name(EVERY)
def test_every_command_that_a_sentence_names_exists(document):
    for code in inline_code(document):
        if code.startswith("comity "):
            check_command(f"{document.name}: {code}", shlex.split(code, comments=True)[1:])


def check_command(what, words):
    group, command = cli, None
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        command = group.get_command(click.Context(group), words.pop(0))
        assert command is not None, what
        group = command
    known = {option for parameter in (command or cli).params for option in parameter.opts} | {"--help"}
    for word in words:
        assert not word.startswith("-") or word in known, f"{what}: there is no {word}"


@by_name(EVERY)
def test_every_target_of_make_that_a_document_names_exists(document):
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    named = {code.split()[1] for code in inline_code(document) if re.match(r"make [a-z]", code)}
    named |= {step.words.split()[1] for step in conversation(document) if re.match(r"make [a-z]", step.words)}
    assert named <= targets


@by_name(EVERY)
def test_every_command_that_a_document_shows_is_run_by_a_test(document):
    if document not in {one for documents in WORLDS.values() for one in documents}:
        for step in conversation(document):
            assert LEFT_OUT.search(step.words) or step.words == "make", f"{step.place} is run by no test"


@by_name(GUIDES)
def test_every_program_that_a_document_shows_is_run_by_a_test(document):
    typed = {step.words for step in conversation(document)}
    for block in blocks(document):
        if block.language == "python":
            assert block.file, f"{block.place}: a program has a file name"
            assert f"python {block.file}" in typed, f"{block.place}: {block.file} is never run"


# --- README ---------------------------------------------------------------------------------------------------------


def test_the_readme_has_the_demo_ten_lines_of_sdk_and_where_to_go_on_its_first_screen():
    readme = REPOSITORY / "README.md"
    first, _, _ = readme.read_text(encoding="utf-8").partition("\n## ")
    assert len(first.splitlines()) <= 50
    here = [block for block in blocks(readme) if block.line <= len(first.splitlines())]
    assert [block.language for block in here] == ["console", "python"]
    assert here[0].text.startswith("$ make demo\n")
    assert len([line for line in here[1].text.splitlines() if line]) <= 10
    assert {"docs/user-guide.md", "docs/integrator-guide.md", "docs/operator.md", "docs/auditor-guide.md"} <= set(
        re.findall(r"\((docs/[\w.-]+)\)", first)
    )


# --- what is written twice is written the same ----------------------------------------------------------------------


def table(document, heading):
    """Give the rows of the table that has this first heading."""
    text = prose(document)
    found = re.search(rf"^\| {heading} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, f"{document.name} has no table of {heading}"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found[1].splitlines()]


def test_the_operators_guide_has_every_setting():
    text = (DOCS / "operator.md").read_text(encoding="utf-8")
    named = {key for row in table(DOCS / "operator.md", "key") for key in re.findall(r"`(\w+)`", row[0])}
    settings = {field.name for field in msgspec.structs.fields(Settings)}
    assert named <= settings
    assert all(f"`{key}`" in text for key in settings)


@by_name((DOCS / "user-guide.md", DOCS / "operator.md"))
def test_the_exit_codes_are_those_there_are(document):
    listed = {int(row[0]) for row in table(document, "code")}
    assert listed == {UsageError("", code=code).exit_code for code in ErrorCode} | {0, 130}


def test_the_users_guide_has_every_role_of_an_officer():
    named = {word for row in table(DOCS / "user-guide.md", "role") for word in re.findall(r"`([\w-]+)`", row[0])}
    assert named == {role.word for role in Role if role is not Role.NODE}


# --- what is not there ----------------------------------------------------------------------------------------------


@by_name(GUIDES)
def test_what_is_not_built_is_only_named_as_not_in_this_release(document):
    for headings, text in paragraphs(document):
        sentence = re.sub(r"`[^`]*`", "", text)
        if LATER.search(sentence):
            assert SAID.search(f"{headings} {sentence}"), f"{document.name}, {headings}: {text}"


# --- the reading of documents itself --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        (["a"], "a\n", True),
        (["a"], "b\n", False),
        (["a"], "a\nb\n", False),
        (["a", "..."], "a\nb\nc\n", True),
        (["...", "b"], "a\nb\n", True),
        (["...", "b"], "a\nb\nc\n", False),
        (["a", "...", "b", "..."], "a\nx\nb\n", True),
        (["a", "...", "a"], "a\n", False),
        (["..."], "", True),
        (["a ... c"], "a b c\n", True),
        (["a ... c"], "a b\n", False),
        (["at 2026-11-25T22:15:49.568Z"], "at 2027-01-01T00:00:00Z\n", True),
        (["at 2026-11-25T22:15:49.568Z"], "at noon\n", False),
    ],
)
def test_what_is_shown_is_compared_with_what_comes_out(shown, output, same):
    assert (shows(shown, output, {}) is not None) == same


def test_an_identifier_stands_for_the_same_one_everywhere():
    here, there = "01a214c7-8436-712d-813d-a715b3292242", "01a214f3-83e2-7952-93b5-5638c512888f"
    other = "01a214f3-83e2-7952-93b5-5638c5128890"
    known = shows([f"sent {here}"], f"sent {there}\n", {})
    assert known == {here: there}
    assert shows([f"got {here}"], f"got {there}\n", known) == {}
    assert shows([f"got {here}"], f"got {other}\n", known) is None
    assert shows([f"{here} {here}"], f"{there} {other}\n", {}) is None


def test_lines_may_have_others_between_them_and_keep_their_order():
    assert shows(anywhere(["a", "c"]), "x\na\nb\nc\n", {}) is not None
    assert shows(anywhere(["c", "a"]), "a\nc\n", {}) is None
