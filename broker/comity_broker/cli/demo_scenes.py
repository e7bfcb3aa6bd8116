"""The story of `comity demo`, scene by scene; every sentence is said after the commands that make it true (`demo_stage`).

Arden (XAR) and Bohemund (XBO) are fictional; so is everything in their reports.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from comity.cli.output import folded, safe
from comity_broker.cli.demo_checks import (
    change_a_byte,
    check_clause,
    check_received,
    done,
    findings,
    many,
    received,
    without_history,
)
from comity_broker.cli.demo_stage import Child, Nation, Ran, Stage

AGREEMENT: Final = "XAR-XBO-1"
GRANT: Final = "3.1"
RELEASABLE: Final = "SECRET//REL TO XAR, XBO"
TOO_HIGH: Final = "TOP-SECRET//REL TO XAR, XBO"
ABOUT: Final = ("--category", "terrorism", "--category", "cyber", "--purpose", "counter-terrorism")
LEVELS_OF_BOHEMUND: Final = ("VEREJNE", "VYHRADENE", "DOVERNE", "TAJNE", "PRISNE-TAJNE")
_RAW: Final = (sys.executable, "-m", "comity_broker.cli.demo_raw")
_OFFICERS: Final = (
    ("security1", "security-authority"),
    ("liaison1", "liaison"),
    ("lawyer1", "legal-reviewer"),
    ("minister1", "plenipotentiary"),
    ("auditor1", "auditor"),
    ("operator1", "operator"),
)


@dataclass(slots=True)
class Story:
    """What the scenes share."""

    stage: Stage
    samples: Path
    reports: Path
    arden: Nation = field(init=False)
    bohemund: Nation = field(init=False)
    address: str = ""
    broker: Child | None = None
    receiver: Child | None = None
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.arden = self.stage.nation("XAR", "Republic of Arden")
        self.bohemund = self.stage.nation("XBO", "Bohemund Federation")

    @property
    def nations(self) -> tuple[Nation, Nation]:
        """Give both, Arden first."""
        return self.arden, self.bohemund

    def scene(self, number: int, title: str) -> None:
        """Begin a scene."""
        self.stage.output.say("", f"{number}. {title}")

    def tell(self, *lines: str) -> None:
        """Say lines, each folded under its own indentation."""
        for line in lines:
            for paragraph in safe(line).split("\n"):
                text = paragraph.lstrip(" ")
                self.stage.output.say(*folded(text, " " * (3 + len(paragraph) - len(text))))

    def both(self, act: Callable[[Nation], None]) -> None:
        """Have both nations do something, each on its own machine, at the same time."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(act, self.nations))


def tell(story: Story) -> None:
    """Tell the whole story; raises VerificationError at the first step that did not do what it says."""
    for number, (title, act) in enumerate(_SCENES, start=1):
        story.scene(number, title)
        act(story)


def keys(story: Story) -> None:
    """Make two roots, and have each nation trust the other's card after comparing its words."""

    def create(nation: Nation) -> None:
        story.stage.do(
            f"{nation.code}-creates-its-keys", nation, "party", "create", nation.code,
            "--name", nation.name, "--trust-domain", nation.trust_domain, "--jurisdiction", nation.code,
        )  # fmt: skip
        card = story.stage.directory / f"{nation.code}.card"
        story.stage.do(f"{nation.code}-exports-its-card", nation, "party", "export", nation.code, "--into", str(card))

    def trust(nation: Nation) -> None:
        other = story.bohemund if nation is story.arden else story.arden
        # What the other nation reads aloud on the telephone comes from its own machine, not from the card.
        words = story.stage.do(f"{other.code}-reads-its-words", other, "party", "show", other.code).record["words"]
        card = story.stage.directory / f"{other.code}.card"
        story.stage.do(
            f"{nation.code}-trusts-{other.code}", nation, "party", "trust", str(card), "--words", " ".join(words)
        )

    story.both(create)
    story.both(trust)
    for nation in story.nations:
        words = _last(story, f"{nation.code}-reads-its-words")["words"]
        story.tell(f"{nation.name} ({nation.code}) made a root of its own. The words of it, compared by telephone:")
        story.tell(f"  {' '.join(words)}")


def broker(story: Story) -> None:
    """Make and start the broker, which Arden operates."""
    data = story.stage.directory / "broker"
    story.stage.do("broker-init", story.arden, "broker", "init", "XAR/hub", "--region", "xar", "--data", str(data))
    port_file = story.stage.directory / "broker.address"
    child = story.stage.start(
        story.arden, "broker", "run", "--data", str(data), "--listen", "127.0.0.1:0", "--port-file", str(port_file),
        name="broker-log",
    )  # fmt: skip
    story.broker = child
    story.stage.wait("broker-run", child, "the broker's start", port_file.exists)
    story.address = port_file.read_text(encoding="ascii").strip()
    story.stage.note(
        "broker-run", ("broker", "run", "--data", str(data)), 0, {"address": story.address, "pid": child.process.pid}
    )
    story.tell(
        f"The broker hub, operated by Arden, runs as process {child.process.pid} on {story.address}. It holds no key that "
        "opens a report; every connection to it is TLS 1.3 with certificates on both sides."
    )


def people(story: Story) -> None:
    """Make nodes and officers, and bring them into the key log with proof of possession."""
    where = ("--broker", story.address, "--broker-name", "XAR/hub")

    def enrol(nation: Nation) -> None:
        code = nation.code
        officers = _OFFICERS if nation is story.arden else _OFFICERS[:4]
        for name, role in officers:
            officer = f"{code}/{name}"
            story.stage.do(f"{code}-creates-{name}", nation, "officer", "create", officer, *where)
            story.stage.do(f"{code}-accredits-{name}", nation, "officer", "accredit", officer, "--role", role)
        level = "SECRET" if nation is story.arden else LEVELS_OF_BOHEMUND[3]
        story.stage.do(
            f"{code}-creates-n1", nation, "node", "create", f"{code}/n1", "--region", code.lower(),
            "--accreditation", level, "--accredited-by", f"{code}/security1", *where,
        )  # fmt: skip
        story.stage.do(f"{code}-enrols-n1", nation, "node", "enrol", f"{code}/n1")

    story.both(enrol)
    for nation in story.nations:
        entry = _last(story, f"{nation.code}-enrols-n1")["log_index"]
        officers = len(_OFFICERS) if nation is story.arden else 4
        story.tell(
            f"{nation.code}: {officers} officers accredited, and node {nation.code}/n1 enrolled: it proved that it holds its keys "
            f"(entry {entry} of the key log)."
        )
    status = story.stage.do("broker-status", story.arden, "broker", "status", "--as", "XAR/operator1").record
    story.tell(f"The broker says: {status['state']}, {status['key_log_size']} entries in its key log.")


def treaty(story: Story) -> None:
    """Write, check, propose, review and sign the agreement; both fold it to the same bytes, in force."""
    stage, arden, bohemund = story.stage, story.arden, story.bohemund
    text = stage.directory / f"{AGREEMENT}.toml"
    stage.do(
        "agreement-new", arden, "agreement", "new", AGREEMENT, "--party", "XAR", "--party", "XBO",
        "--broker-name", "XAR/hub", "--broker-region", "xar", "--category", "terrorism", "--category", "cyber",
        "--levels", f"XBO={','.join(LEVELS_OF_BOHEMUND)}", "--into", str(text),
    )  # fmt: skip
    stage.do("agreement-check", arden, "agreement", "check", str(text), facts=findings)
    stage.do("agreement-propose", arden, "agreement", "propose", str(text), "--as", "XAR/liaison1")
    shown = stage.do(
        "XBO-reads-it", bohemund, "agreement", "show", AGREEMENT, "--as", "XBO/lawyer1", facts=without_history
    )
    meant = ("--digest", shown.record["digest"])
    for step, word, role in (("review", "reviews", "lawyer1"), ("sign", "signs", "minister1")):
        for nation in story.nations:
            officer = f"{nation.code}/{role}"
            stage.do(f"{nation.code}-{word}-it", nation, "agreement", step, AGREEMENT, *meant, "--as", officer)
    views = [
        stage.do(f"{nation.code}-folds-it", nation, "agreement", "list", "--as", f"{nation.code}/n1").record
        for nation in story.nations
    ]
    stage.require(
        "agreement-in-force", {one["phase"] for one in views} == {"IN_FORCE"}, "it is not in force on both sides"
    )
    stage.require("agreement-in-force", len({one["digest"] for one in views}) == 1, "the two sides signed other bytes")
    stage.require(
        "agreement-in-force", shown.record["digest"] == views[0]["digest"], "it was shown with another digest"
    )
    stage.note("agreement-in-force", ("agreement", "list"), 0, {"digest": views[0]["digest"], "views": views})
    enforced = sum("enforced" in clause["status"] for clause in shown.record["clauses"])
    story.tell(
        f"{AGREEMENT}, {len(shown.record['clauses'])} clauses of which {enforced} are enforced by machines, was reviewed by both "
        "nations' lawyers and signed by both ministers. Each side verified the other's signatures up to its root:",
        f"  the same bytes, sha384:{views[0]['digest'][:32]}..., in force since {views[0]['in_force_at']}.",
    )


def reports(story: Story) -> None:
    """Send STIX and a report with a summary and a source; the other node opens what it may and acknowledges."""
    stage, arden, bohemund = story.stage, story.arden, story.bohemund
    inbox = stage.directory / "XBO" / "inbox"
    child = stage.start(
        bohemund, "receive", "--follow", "--into", str(inbox), "--as", "XBO/n1", "--purpose", "counter-terrorism",
        "--json", name="XBO-receives",
    )  # fmt: skip
    story.receiver = child
    transfers = story.samples / "transfers.report.toml"
    preview = stage.do("preview", arden, "preview", str(transfers), "--agreement", AGREEMENT, "--as", "XAR/n1").record
    stage.require("preview", preview["nodes"][0]["withheld"] == [2], "the source would leave the country")
    sent = stage.do(
        "send-summary-and-source", arden, "send", str(transfers), "--agreement", AGREEMENT, "--as", "XAR/n1"
    )
    bundles = stage.do(
        "send-stix", arden, "send", str(story.reports), "--agreement", AGREEMENT, "--marking", RELEASABLE, *ABOUT,
        "--as", "XAR/n1", facts=many,
    )  # fmt: skip
    accepted = [one for one in bundles.records if "report_id" in one]
    stage.require("send-stix", accepted, f"{story.reports} holds no report")
    story.sent = [sent.record["report_id"], *(one["report_id"] for one in accepted)]
    stage.wait("XBO-receives", child, "the arrival of every report", lambda: received(child) >= set(story.sent))
    got = [one for one in child.lines() if one.get("report_id") in story.sent]
    stage.note("XBO-receives", ("receive", "--follow"), 0, {"received": got})
    check_received(stage, inbox, story.reports, got)
    _wait_acknowledged(story)
    story.tell(
        f"Arden sent {len(story.sent)} reports. Bohemund's node verified each, opened what it may, wrote it to {inbox}:"
    )
    for one in got[:6]:
        stage.output.banner(one["banner"])
        withheld = f"; portion {', '.join(map(str, one['withheld']))} stays at home" if one["withheld"] else ""
        title = one["title"] or one["portions"][0]["file_name"]
        story.tell(f"{title}: {len(one['portions'])} portion{'s' if len(one['portions']) > 1 else ''}{withheld}")
    story.tell(*([f"... and {len(got) - 6} more"] if len(got) > 6 else []))
    first = next(one for one in got if one["report_id"] == sent.record["report_id"])
    stage.output.banner(first["portions"][0]["marking"])
    story.tell(" ".join((inbox / first["portions"][0]["file"]).read_text(encoding="utf-8").split()))
    stage.output.banner(first["portions"][0]["marking"])
    story.tell("The source of that report had no key for Bohemund: its text is nowhere in what was received. Every report is "
               "acknowledged with the signature of XBO/n1.")  # fmt: skip


def refused(story: Story) -> None:
    """Have the SDK refuse a report, force it past the SDK, and have the broker refuse it by the same clauses."""
    stage, arden = story.stage, story.arden
    file = str(story.samples / "above-the-ceiling.txt")
    said = stage.do(
        "send-above-the-ceiling", arden, "send", file, "--agreement", AGREEMENT, "--marking", TOO_HIGH,
        "--category", "terrorism", "--purpose", "counter-terrorism", "--as", "XAR/n1", expect=10,
    )  # fmt: skip
    forced = stage.do(
        "force-above-the-ceiling", arden, "XAR/n1", file, AGREEMENT, TOO_HIGH, "terrorism", "counter-terrorism",
        expect=10, program=_RAW,
    )  # fmt: skip
    check_clause(stage, "send-above-the-ceiling", said, "4")
    check_clause(stage, "force-above-the-ceiling", forced, "4")
    story.tell("A report above the agreement's ceiling is refused before it leaves the machine:")
    _tell_refusal(story, said)
    story.tell(
        "A raw client, with the node's keys and without the SDK's decision, sealed it all the same. The broker refused it:"
    )
    _tell_refusal(story, forced)


def suspended(story: Story) -> None:
    """Suspend a grant; the next report is refused."""
    stage, arden = story.stage, story.arden
    stage.do(
        "suspend", arden, "agreement", "suspend", AGREEMENT, "--clause", GRANT,
        "--reason", "a leak is being looked into", "--as", "XAR/liaison1",
    )  # fmt: skip
    said = stage.do(
        "send-after-the-suspension", arden, "send", str(story.samples / "after-the-suspension.txt"),
        "--agreement", AGREEMENT, "--marking", RELEASABLE, "--category", "terrorism", "--purpose", "counter-terrorism",
        "--as", "XAR/n1", expect=10,
    )  # fmt: skip
    stage.require("send-after-the-suspension", said.error.get("clauses"), "the refusal names no clause")
    story.tell(f"Arden alone suspended its grant (clause {GRANT}), at once. The next report is refused:")
    _tell_refusal(story, said)


def audited(story: Story) -> None:
    """Fetch the log, stop everything, verify offline; change one byte in a copy and verify again."""
    stage, arden = story.stage, story.arden
    bundle, copy = stage.directory / "audit", stage.directory / "audit-changed"
    stage.do("audit-bundle", arden, "audit", "bundle", AGREEMENT, "--into", str(bundle), "--as", "XAR/auditor1")
    if story.receiver is not None:
        stage.stop("XBO-stops-receiving", story.receiver, "receiver", expect=(0, 130))
    if story.broker is not None:
        stage.stop("broker-drains", story.broker, "broker")
    whole = stage.do("audit-verify", arden, "audit", "verify", str(bundle), "--party", "XAR").record
    stage.require("audit-verify", whole["verdict"] == "PASS", f"the verdict is {whole['verdict']}")
    shutil.copytree(bundle, copy)
    changed = change_a_byte(copy)
    broken = stage.do("audit-verify-changed", arden, "audit", "verify", str(copy), "--party", "XAR", expect=15).record
    story.tell(
        f"The broker is stopped. Arden's auditor verified the log without it, from {bundle}:",
        f"  {whole['verdict']}: {', '.join(f'{count} {what}' for what, count in sorted(whole['counts'].items()))}",
        f"One byte of {changed.relative_to(copy)} was changed in a copy. The verifier says exactly that:",
    )
    for one in broken["findings"]:
        story.tell(f"  {one['code']} (entry {one['log_index']}): {one['message']}")


_SCENES: Final[tuple[tuple[str, Callable[[Story], None]], ...]] = (
    ("Two nations, each with its own keys", keys),
    ("A broker that is trusted with nothing", broker),
    ("People and machines enter the key log", people),
    ("An agreement: written, checked, reviewed, signed by both over the same bytes", treaty),
    ("Reports: sealed, decided clause by clause, opened, acknowledged", reports),
    ("What the agreement does not allow", refused),
    ("One party suspends a grant", suspended),
    ("An auditor trusts nobody", audited),
)


def _wait_acknowledged(story: Story) -> None:
    """Look until the broker says that each report's acknowledgement is durable; the last look is the record."""

    def acknowledged() -> bool:
        ran = story.stage.do(
            "acknowledged", story.arden, "report", "list", "--agreement", AGREEMENT, "--as", "XAR/n1", facts=many
        )
        return done(ran.records, story.sent)

    if story.receiver is not None:
        story.stage.wait("acknowledged", story.receiver, "the acknowledgement of every report", acknowledged)


def _tell_refusal(story: Story, ran: Ran) -> None:
    for clause in ran.error["clauses"]:
        remedy = clause["remedy"]
        who = f" ({remedy['who']})" if remedy["who"] else ""
        story.tell(f"  clause {clause['clause_id']} ({clause['kind']}): {clause['gloss']}")
        if clause["text"]:
            story.tell(f"    it says: {' '.join(clause['text'].split())}")
        story.tell(
            f"    {clause['fact']}: {clause['got']}; wanted: {clause['wanted']}",
            f"    remedy: {remedy['action']}{who} {remedy['command']}".rstrip(),
        )


def _last(story: Story, step: str) -> dict[str, Any]:
    facts = next(one["facts"] for one in reversed(story.stage.records) if one["step"] == step)
    return dict(facts)
