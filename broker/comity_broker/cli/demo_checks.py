"""What `comity demo` looks at before it says anything: each function ends the demo where something does not hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from comity_broker.cli.demo_stage import Child, Ran, Stage

SOURCE_TEXT: Final = b"The source works at the counter"


def check_received(stage: Stage, inbox: Path, reports: Path, got: Iterable[dict[str, Any]]) -> None:
    """Check that each file arrived with its bytes, and the source's text not at all."""
    for path in inbox.iterdir():
        stage.require("XBO-receives", SOURCE_TEXT not in path.read_bytes(), f"{path} holds the source's text")
    sent = {path.name: path.read_bytes() for path in reports.iterdir() if path.is_file()}
    for one in got:
        for portion in one["portions"]:
            content = sent.get(portion["file_name"])
            same = content is None or (inbox / portion["file"]).read_bytes() == content
            stage.require("XBO-receives", same, f"{portion['file_name']} arrived with other bytes")


def check_clause(stage: Stage, step: str, ran: Ran, clause_id: str) -> None:
    """Check that a refusal names a clause with its meaning, its text and a remedy."""
    named = {one["clause_id"]: one for one in ran.error.get("clauses", ())}
    clause = named.get(clause_id, {})
    whole = clause.get("text") and clause.get("gloss") and clause.get("remedy")
    stage.require(step, whole, f"clause {clause_id} is not named with its text and remedy")


def done(rows: Iterable[dict[str, Any]], report_ids: Iterable[str]) -> bool:
    """Say whether each of these reports is settled by a signed acknowledgement, as the broker lists them."""
    settled = {row["report_id"] for row in rows if any(consumer["state"] == "DONE" for consumer in row["consumers"])}
    return settled >= set(report_ids)


def change_a_byte(folder: Path) -> Path:
    """Change one byte of the newest body that an agreement's log holds; gives the file."""
    path = max(folder.glob("logs/*/agreement/**/body/*.shared"), key=lambda one: int(one.name.partition(".")[0]))
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    return path


def received(child: Child) -> set[str]:
    """Give the ids of the reports a receiver has written so far."""
    return {str(one.get("report_id")) for one in child.lines()}


def findings(ran: Ran) -> dict[str, object]:
    """Give the facts of a check: what it found."""
    return {"findings": list(ran.records)}


def many(ran: Ran) -> dict[str, object]:
    """Give the facts of a command that lists."""
    return {"records": list(ran.records)}


def without_history(ran: Ran) -> dict[str, object]:
    """Give the facts of an agreement as it was shown."""
    return {key: value for key, value in ran.record.items() if key != "history"}
