"""What an officer who approves a report is shown of its text: read from the sealed bytes, as far as the officer may read it.

Rules in order:
1. The text is opened with the node's own stanza from the bytes that the officer signs the leaf of, never taken from elsewhere.
2. A portion of the lowest level is shown to every officer of the party; one above to an officer whose attested clearance, that
   lasts, is of its level or higher. Without an attestation there is none.
3. What is not shown says why, and content that is no text is named by size and digest, so that it can be compared with a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from comity.envelope.open import OpenedPortion, Opener
from comity.envelope.segment import WholeItem
from comity.errors import ComityError, RejectedError
from comity.identity.records import OfficerRecord
from comity.portion import Portion
from comity.report import banner_of

# Gives what opens the node's own stanzas; raises where the node's keys are not open here.
FindOpener = Callable[[], Opener]


@dataclass(frozen=True, slots=True)
class ShownPortion:
    """A portion before an officer: its banner, and its text or `closed`, why there is none. `size` is bytes, None where closed."""

    banner: str
    title: str = ""
    media_type: str = ""
    size: int | None = None
    digest: str = ""
    text: str = ""
    closed: str = ""


def shown_portions(  # noqa: PLR0917 - what is sealed, and who looks at it when and with which keys
    item: WholeItem,
    packets: Mapping[bytes, bytes],
    officer: OfficerRecord | None,
    levels: Sequence[str],
    now_ms: int,
    opener: FindOpener | None,
) -> tuple[ShownPortion, ...]:
    """Give every portion of a sealed report as that officer may see it; `levels` are the own party's, lowest first.

    `packets` are the key packets by id; without `opener` nothing opens.
    """
    profile, found = item.core.profile, list[ShownPortion]()
    opened, fault = _opened(item, packets, opener)
    for index, marking in enumerate(profile.portions):
        banner = banner_of(profile, [index], levels, profile.originator.party)
        closed = kept_from(officer, marking.label.classification, levels, now_ms) or fault
        portion = opened.get(index)
        if closed or portion is None:
            found.append(ShownPortion(banner, closed=closed or "this node has no key for it"))
        else:
            found.append(_shown(banner, Portion.from_header(portion.header, portion.content, marking), portion.content))
    return tuple(found)


def _opened(
    item: WholeItem, packets: Mapping[bytes, bytes], opener: FindOpener | None
) -> tuple[dict[int, OpenedPortion], str]:
    """Open what the node's own stanza opens; gives why where nothing does."""
    if opener is None:
        return {}, "the node's keys are not open here"
    try:
        portions = opener().open_own(item, packets)
    except RejectedError as error:
        return {}, f"the sealed bytes do not open: {error.reason}"
    except ComityError as error:
        return {}, error.message
    return {portion.index: portion for portion in portions if isinstance(portion, OpenedPortion)}, ""


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


def _shown(banner: str, portion: Portion, content: bytes) -> ShownPortion:
    return ShownPortion(
        banner,
        title=portion.title,
        media_type=portion.media_type,
        size=len(content),
        digest=hashlib.sha384(content).hexdigest(),
        text=portion.text,
    )
