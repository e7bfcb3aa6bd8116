"""What an officer who approves a report is shown of its text: read from the sealed bytes, as far as the officer may read it.

Rules in order:
1. The text is opened with the node's own stanza from the bytes that the officer signs the leaf of, never taken from elsewhere.
2. A portion of the lowest level is shown to every officer of the party; one above to an officer whose attested clearance, that
   lasts, is of its level or higher. Without an attestation there is none.
3. What is not shown says why, and content that is no text is named by size and digest, so that it can be compared with a file.
4. An attachment is read whole, and can be had as a file (`approved_files`). One that is not what was sealed is an error, not a line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from comity.envelope.open import OpenedPortion, Opener, UploadedPortion
from comity.envelope.segment import WholeItem
from comity.errors import ComityError, RejectedError
from comity.identity.records import OfficerRecord
from comity.node.approved_files import SealedFile, sealed_file
from comity.node.attached_files import AttachedFile
from comity.portion import Portion
from comity.report import banner_of

# Gives what opens the node's own stanzas; raises where the node's keys are not open here.
FindOpener = Callable[[], Opener]


@dataclass(frozen=True, slots=True)
class ShownPortion:
    """A portion before an officer: its banner, and its text or `closed`, why there is none. `size` is bytes, None where closed.

    `file` is there for an attachment: with it the officer can have the content as a file. `digest` is that of the content.
    """

    banner: str
    title: str = ""
    media_type: str = ""
    size: int | None = None
    digest: str = ""
    text: str = ""
    closed: str = ""
    file_name: str = ""
    file: SealedFile | None = field(default=None, repr=False, compare=False)


def shown_portions(  # noqa: PLR0917 - what is sealed, and who looks at it when and with which keys
    item: WholeItem,
    packets: Mapping[bytes, bytes],
    officer: OfficerRecord | None,
    levels: Sequence[str],
    now_ms: int,
    opener: FindOpener | None,
    attached: Sequence[AttachedFile] = (),
) -> tuple[ShownPortion, ...]:
    """Give every portion of a sealed report as that officer may see it; `levels` are the own party's, lowest first.

    `packets` are the key packets by id; without `opener` nothing opens. `attached` is what lies in the outbox beside it; raises
    StorageError where that is not what was sealed.
    """
    profile, found = item.core.profile, list[ShownPortion]()
    opened, fault = _opened(item, packets, opener)
    for index, marking in enumerate(profile.portions):
        banner = banner_of(profile, [index], levels, profile.originator.party)
        closed = kept_from(officer, marking.label.classification, levels, now_ms) or fault
        portion = opened.get(index)
        if closed or portion is None:
            found.append(ShownPortion(banner, closed=closed or "this node has no key for it"))
        elif isinstance(portion, UploadedPortion):
            found.append(_attachment(banner, sealed_file(attached, portion, marking)))
        else:
            found.append(_shown(banner, Portion.from_header(portion.header, portion.content, marking), portion.content))
    return tuple(found)


def _opened(
    item: WholeItem, packets: Mapping[bytes, bytes], opener: FindOpener | None
) -> tuple[dict[int, OpenedPortion | UploadedPortion], str]:
    """Open what the node's own stanza opens; gives why where nothing does."""
    if opener is None:
        return {}, "the node's keys are not open here"
    try:
        portions = opener().open_own(item, packets)
    except RejectedError as error:
        return {}, f"the sealed bytes do not open: {error.reason}"
    except ComityError as error:
        return {}, error.message
    return {one.index: one for one in portions if isinstance(one, OpenedPortion | UploadedPortion)}, ""


def kept_from(officer: OfficerRecord | None, level: str, levels: Sequence[str], now_ms: int) -> str:
    """Say why an officer may not read a level; empty where that is permitted."""
    if level not in levels:
        return f"{level} is no level of this party"
    if level == levels[0]:
        return ""
    clearance = None if officer is None else officer.clearance
    if clearance is None or clearance.level not in levels:
        return f"no clearance of the officer is attested, and {level} needs one"
    if now_ms >= clearance.until:
        return "the officer's clearance has ended"
    return "" if levels.index(clearance.level) >= levels.index(level) else f"the officer is not cleared for {level}"


def _attachment(banner: str, file: SealedFile) -> ShownPortion:
    try:
        found = file.examined()
    except RejectedError as error:
        return ShownPortion(banner, closed=f"the sealed bytes do not open: {error.reason}")
    return ShownPortion(
        banner,
        title=found.portion.title,
        media_type=found.portion.media_type,
        size=found.portion.length,
        digest=found.digest,
        file_name=found.portion.file_name,
        file=file,
    )


def _shown(banner: str, portion: Portion, content: bytes) -> ShownPortion:
    return ShownPortion(
        banner,
        title=portion.title,
        media_type=portion.media_type,
        size=len(content),
        digest=hashlib.sha384(content).hexdigest(),
        text=portion.text,
    )
