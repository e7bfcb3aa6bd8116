"""A commented agreement to begin a negotiation with, made from the parties' own names, roots and levels.

The template is `templates/agreement.toml`. What is put into it is quoted as TOML, and the result is loaded before it is
handed out: a rendered template always loads, and `check` finds no error in it.

    text = render_template("XAR-XBO-1", {"XAR": xar, "XBO": xbo}, BrokerInfo("hub", "XAR", "xar"))
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files

from comity_policy.document import load
from comity_policy.vocabulary import NAMES, bundled

LEVELS = ("UNCLASSIFIED", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP-SECRET")
LONG_PAST = date(2026, 1, 1)

_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")
_PARTY = re.compile(r"[A-Z]{3}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class PartyInfo:
    """What a party card says: its name, ``sha384:<hex>`` of its root key, its trust domain and its jurisdiction."""

    name: str
    root: str
    trust_domain: str
    jurisdiction: str


@dataclass(frozen=True, slots=True)
class BrokerInfo:
    """The broker that will carry the agreement."""

    name: str
    operator: str
    region: str


def render_template(
    agreement_id: str,
    parties: Mapping[str, PartyInfo],
    broker: BrokerInfo,
    *,
    title: str = "",
    levels: Mapping[str, Sequence[str]] | None = None,
    ceiling: int = -2,
    categories: Sequence[str] = ("terrorism",),
    purposes: Sequence[str] = ("counter-terrorism", "threat-to-life"),
    regions: Sequence[str] = (),
    retention_days: int = 30,
    flash: Sequence[str] = ("duty-officer",),
    immediate: Sequence[str] = ("duty-officer", "liaison"),
    valid_from: date = LONG_PAST,
) -> str:
    """Give the text of a commented agreement between two parties that loads and checks without errors.

    `levels` are each party's levels from unclassified up, as many for both: they correspond one by one, and a party without
    an entry has the usual five. `ceiling` is a position in them, the second highest if not given. Information rests in
    `regions`, if none are given in the territories of both parties and of the broker. Raises ValueError (DocumentError where
    a value put in is refused) for anything that cannot be put into an agreement.
    """
    if len(parties) != 2:
        raise ValueError("the template is for two parties")
    for code in parties:
        if not _PARTY.fullmatch(code):
            raise ValueError(f"{code!r} is no party code: three capital letters")
    if not _NAME.fullmatch(broker.name):
        raise ValueError(f"{broker.name!r} is no name of a broker: a-z, 0-9 and '-'")
    (a, first), (b, second) = parties.items()
    own = {code: tuple((levels or {}).get(code, LEVELS)) for code in parties}
    if len(own[a]) != len(own[b]):
        raise ValueError(f"{a} has {len(own[a])} levels and {b} {len(own[b])}: write the equivalences by hand")
    known = bundled()
    held_in = tuple(regions) or tuple(dict.fromkeys((a.lower(), b.lower(), broker.region)))
    values = {
        "A": a,
        "B": b,
        "ID": _quoted(agreement_id),
        "TITLE": _quoted(title or f"Agreement between {first.name} and {second.name} on the exchange of information"),
        **_party("A", first),
        **_party("B", second),
        "BROKER": broker.name,
        "BROKER_OPERATOR": _quoted(broker.operator),
        "BROKER_REGION": _quoted(broker.region),
        "VOCABULARIES": "\n".join(f"{name} = {_quoted(known.digests[name])}" for name in NAMES),
        "VALID_FROM": valid_from.isoformat(),
        "ROWS_AB": _rows(own[a], own[b]),
        "ROWS_BA": _rows(own[b], own[a]),
        "CATEGORIES": _list(categories),
        "CEILING_A": _quoted(own[a][ceiling]),
        "CEILING_B": _quoted(own[b][ceiling]),
        "PURPOSES": _list(purposes),
        "REGIONS": _list(held_in),
        "RETENTION_DAYS": str(int(retention_days)),
        "FLASH": _list(flash),
        "IMMEDIATE": _list(immediate),
    }
    template = (files("comity_policy") / "templates" / "agreement.toml").read_text(encoding="utf-8")
    text = _PLACEHOLDER.sub(lambda found: values[found[1]], template)
    load(text.encode())
    return text


def _party(side: str, party: PartyInfo) -> dict[str, str]:
    return {
        f"{side}_NAME": _quoted(party.name),
        f"{side}_ROOT": _quoted(party.root),
        f"{side}_TRUST_DOMAIN": _quoted(party.trust_domain),
        f"{side}_JURISDICTION": _quoted(party.jurisdiction),
    }


def _rows(levels: Sequence[str], others: Sequence[str]) -> str:
    return "\n".join(f"    [{_quoted(level)}, {_quoted(other)}]," for level, other in zip(levels, others, strict=True))


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, words))}]"


def _quoted(text: str) -> str:
    """Give the text as a TOML basic string; JSON's escapes are TOML's, but DEL must be escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
