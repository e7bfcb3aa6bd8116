"""Banners and portion marks: what people read, always derived from a label, never signed text (design 07).

Grammar, in order of print; `//` between categories, `/` within one:

    banner   = head *( "//" category )
    head     = level                      own information:          SECRET
             | "//" party SP level        seen by another party:    //XAR SECRET
             | "//JOINT" SP level 2*(SP party)                      //JOINT SECRET XAR XBO
    category = "FGI" 1*(SP party) | controls | "TLP:" colour | "PAP:" colour
    controls = [ORCON] [NOFORN] [REL TO party, party ...] [RELIDO] [DISPLAY ONLY party, ...]    joined by "/"
    party    = three capital letters, or on input a group code, which gives way to its members of the day (`groups.py`)
    portion  = "(" banner with the level abbreviated ")"            (S//REL TO XAR, XBO)

Parties: the originator first, then alphabetical, groups last; a REL TO has at least two. National-only is spelled as the
policy spells it (NOFORN, or NATIONAL-ONLY). TLP 2.0 words are never translated; WHITE is accepted as CLEAR.

A text is accepted only if it is the one way to write its label, so parse and print are each other's inverse; a text that
means the same in another order is refused with the right one. A banner holds neither category sets nor a review date nor
a successor: those of a parsed label are empty. A label that breaks a rule of form prints as `ILL_FORMED`, which cannot be
taken for a marking: what a hostile label says never reaches a screen as one.

    >>> label = parse_banner("SECRET//REL TO XAR, XBO", "XAR", ("OPEN", "SECRET"))
    >>> portion_mark(label, ("OPEN", "SECRET"), viewer="XBO"), dual_banner(label, "XBO", "TAJNE")
    ('(//XAR S//REL TO XAR, XBO)', 'SECRET (XAR) / TAJNE (XBO)//REL TO XAR, XBO')
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from comity_policy.groups import NO_GROUPS, expanded, is_group_code
from comity_policy.marking import (
    DISSEMINATION,
    Control,
    Label,
    MarkingError,
    Origin,
    OriginKind,
    Tlp,
    faults,
    is_party_code,
    validate,
)
from comity_policy.tlp import pap_word, parse_pap, parse_tlp, tlp_word

__all__ = [
    "ILL_FORMED",
    "NOFORN",
    "abbreviations",
    "banner",
    "dual_banner",
    "parse_banner",
    "parse_portion_mark",
    "parse_tlp",
    "portion_mark",
    "tlp_in",
    "tlp_word",
    "with_tlp",
]

ILL_FORMED = "ILL-FORMED MARKING (TREAT AS HIGHEST)"
NOFORN = "NOFORN"

_SPELLINGS = (NOFORN, Control.NATIONAL_ONLY.value)
_LEVEL = re.compile(r"[^\W\d_](?:[^/(),]*[^/(),\s])?")
_LONGEST = 4096


def banner(label: Label, *, viewer: str | None = None, national_only: str = NOFORN) -> str:
    """Give the banner line of a label, as `viewer` (a party; None: the label's own) is to see it.

    `national_only` is how the policy spells that control. Never raises: an ill-formed label gives `ILL_FORMED`.
    """
    if not _is_printable(label):
        return ILL_FORMED
    return _print(label, label.classification, viewer not in {None, label.policy}, national_only)


def dual_banner(label: Label, party: str, level: str, *, national_only: str = NOFORN) -> str:
    """Give the banner with the level another party's equivalence maps it to: ``SECRET (XAR) / TAJNE (XBO)//...``.

    The originator's label is not overwritten: the mapped level stands beside it.
    """
    if not _is_printable(label) or not _LEVEL.fullmatch(level):
        return ILL_FORMED
    both = f"{label.classification} ({label.policy}) / {level} ({party})"
    return _print(label, both, False, national_only)


def portion_mark(label: Label, levels: Sequence[str], *, viewer: str | None = None, national_only: str = NOFORN) -> str:
    """Give the mark that stands before a portion, e.g. ``(S//REL TO XAR, XBO)``; levels as in `abbreviations`."""
    if not _is_printable(label):
        return f"({ILL_FORMED})"
    short = abbreviations(levels).get(label.classification, label.classification)
    return f"({_print(label, short, viewer not in {None, label.policy}, national_only)})"


def abbreviations(levels: Sequence[str]) -> dict[str, str]:
    """Give for each level its initials (TOP-SECRET: TS), or the whole word where initials would be ambiguous."""
    initials = {level: "".join(word[0] for word in re.split(r"[\s-]+", level) if word) for level in levels}
    taken = list(initials.values())
    return {
        level: short if taken.count(short) == 1 and short not in levels else level for level, short in initials.items()
    }


def parse_banner(
    text: str, policy: str, levels: Sequence[str], groups: Mapping[str, frozenset[str]] = NO_GROUPS
) -> Label:
    """Give the label a banner line stands for.

    `policy` is the party whose system the text is written in; `levels` are the levels of the policy the text names (the
    same, unless it begins with ``//``), lowest first; `groups` maps group codes to their members of the day. Raises
    MarkingError with what to write instead.
    """
    return _parse(text, policy, {level: level for level in levels}, levels, groups)


def parse_portion_mark(
    text: str, policy: str, levels: Sequence[str], groups: Mapping[str, frozenset[str]] = NO_GROUPS
) -> Label:
    """Give the label a portion mark stands for; arguments and errors as for `parse_banner`."""
    if not (text.startswith("(") and text.endswith(")")):
        raise MarkingError(f"a portion mark stands in parentheses, e.g. ({text.strip('() ') or 'S'})")
    return _parse(text[1:-1], policy, abbreviations(levels), levels, groups)


def tlp_in(text: str) -> Tlp | None:
    """Give the TLP a banner line says; None where it says none. Raises MarkingError."""
    return next((parse_tlp(part) for part in text.split("//") if part.startswith("TLP:")), None)


def with_tlp(text: str, tlp: Tlp) -> str:
    """Give a banner line with this TLP at its place; raises MarkingError where it says another one."""
    said = tlp_in(text)
    if said is not None and said is not tlp:
        raise MarkingError(f"{text!r} says {tlp_word(said)}, not {tlp_word(tlp)}: say it once")
    if said is not None:
        return text
    head, pap, rest = text.partition("//PAP:")
    return f"{head}//{tlp_word(tlp)}{pap}{rest}"


def _is_printable(label: Label) -> bool:
    return (
        label.dissemination <= DISSEMINATION
        and is_party_code(label.policy)
        and _LEVEL.fullmatch(label.classification) is not None
        and label.classification.isprintable()
        and not faults(label)
    )


def _print(label: Label, level: str, foreign: bool, national_only: str) -> str:
    origin = label.origin
    if origin.kind is OriginKind.JOINT:
        head = f"//JOINT {level} {' '.join(_ordered(label.policy, origin.parties))}"
    else:
        head = f"//{label.policy} {level}" if foreign else level
    categories = [head]
    if origin.kind is OriginKind.FGI:
        categories.append(f"FGI {' '.join(_ordered(label.policy, origin.parties))}")
    controls = []
    if Control.ORCON in label.dissemination:
        controls.append(Control.ORCON.value)
    if Control.NATIONAL_ONLY in label.dissemination:
        controls.append(national_only)
    if label.releasable_to is not None:
        controls.append(f"REL TO {', '.join(_ordered(label.policy, label.releasable_to))}")
    if Control.RELIDO in label.dissemination:
        controls.append(Control.RELIDO.value)
    if label.display_only is not None:
        controls.append(f"DISPLAY ONLY {', '.join(_ordered(label.policy, label.display_only))}")
    if controls:
        categories.append("/".join(controls))
    if label.tlp is not None:
        categories.append(tlp_word(label.tlp))
    if label.pap is not None:
        categories.append(pap_word(label.pap))
    return "//".join(categories)


def _ordered(policy: str, codes: Iterable[str]) -> list[str]:
    return sorted(codes, key=lambda code: (code != policy, not is_party_code(code), code))


def _parse(
    text: str, policy: str, words: Mapping[str, str], levels: Sequence[str], groups: Mapping[str, frozenset[str]]
) -> Label:
    """Parse loosely, print the result, accept only the same text: what is refused is refused with the right spelling."""
    if len(text) > _LONGEST:
        raise MarkingError(f"a marking has at most {_LONGEST} characters, this has {len(text)}")
    foreign = text.startswith("//")
    head, *categories = (text[2:] if foreign else text).split("//")
    label = _parse_head(head.strip(), policy, words) if foreign else Label(policy, _level(head.strip(), words))
    foreign = foreign and label.origin.kind is OriginKind.OWN
    national_only = Control.NATIONAL_ONLY.value if Control.NATIONAL_ONLY.value in text else NOFORN
    for category in categories:
        label = _parse_category(category.strip(), label)
    short = next(word for word, level in _by_word(words).items() if level == label.classification)
    written = "//".join("TLP:CLEAR" if part == "TLP:WHITE" else part for part in text.split("//"))
    label_text = _print(label, short, foreign, national_only)
    label = _expanded(label, groups)
    validate(label, levels)
    if label_text != written:
        raise MarkingError(f"{text!r} is not how this marking is written: write {label_text!r}")
    return label


def _by_word(words: Mapping[str, str]) -> dict[str, str]:
    return {short: level for level, short in words.items()}


def _level(word: str, words: Mapping[str, str]) -> str:
    by_word = _by_word(words)
    if word in by_word:
        return by_word[word]
    expected = ", ".join(by_word)
    near = [known for known in by_word if known.casefold() == word.casefold()]
    near = near or difflib.get_close_matches(word.upper(), by_word, n=1)
    hint = f": did you mean {near[0]!r}?" if near else ""
    if not word:
        raise MarkingError(f"a marking begins with a level, one of {expected}")
    raise MarkingError(f"unknown level {word!r}, one of {expected}{hint}")


def _parse_head(head: str, policy: str, words: Mapping[str, str]) -> Label:
    """Parse what follows a leading ``//``: another party's information or a joint product."""
    first, _, rest = head.partition(" ")
    if first != "JOINT":
        if not is_party_code(first):
            raise MarkingError(f"after a leading // stands a party or JOINT, not {first!r}")
        if first == policy:
            raise MarkingError(f"own information of {policy} has no leading //{policy}: begin with the level")
        return Label(first, _level(rest.strip(), words))
    known = max((word for word in _by_word(words) if rest.startswith(f"{word} ")), key=len, default=None)
    if known is None:
        raise MarkingError(f"after //JOINT stand a level, one of {', '.join(_by_word(words))}, and the parties")
    codes, level = rest[len(known) :].split(), _by_word(words)[known]
    _codes("JOINT", codes)
    if len(codes) < 2:
        raise MarkingError("JOINT names at least two parties, the originator first: //JOINT SECRET XAR XBO")
    return Label(codes[0], level, origin=Origin(OriginKind.JOINT, frozenset(codes)))


def _parse_category(category: str, label: Label) -> Label:
    if category.startswith("FGI "):
        if label.origin != Origin():
            raise MarkingError("the origin is given twice")
        return replace(label, origin=Origin(OriginKind.FGI, frozenset(_codes("FGI", category[4:].split()))))
    if category.startswith("TLP:"):
        if label.tlp is not None:
            raise MarkingError("TLP is given twice")
        return replace(label, tlp=parse_tlp(category))
    if category.startswith("PAP:"):
        if label.pap is not None:
            raise MarkingError("PAP is given twice")
        return replace(label, pap=parse_pap(category))
    for control in category.split("/"):
        label = _parse_control(control.strip(), label)
    return label


def _parse_control(control: str, label: Label) -> Label:
    if control.startswith("REL TO ") and label.releasable_to is None:
        return replace(label, releasable_to=_code_list("REL TO", control))
    if control.startswith("DISPLAY ONLY ") and label.display_only is None:
        return replace(label, display_only=_code_list("DISPLAY ONLY", control))
    word = Control.NATIONAL_ONLY.value if control in _SPELLINGS else control
    if word in DISSEMINATION:
        if word in label.dissemination:
            raise MarkingError(f"{control} is given twice")
        return replace(label, dissemination=label.dissemination | {word})
    known = ["REL TO", "ORCON", *_SPELLINGS, "RELIDO", "DISPLAY ONLY", "FGI", "TLP:", "PAP:"]
    first = control.upper().split(" ")[0]
    near = difflib.get_close_matches(control.upper(), known, n=1) or [word for word in known if word.startswith(first)]
    hint = f"did you mean {near[0]!r}?" if near and first else f"one of {', '.join(known)}"
    raise MarkingError(f"unknown or repeated control {control!r}: {hint}")


def _code_list(what: str, control: str) -> frozenset[str]:
    return frozenset(_codes(what, [code.strip() for code in control.removeprefix(what).split(",")]))


def _codes(what: str, codes: Sequence[str]) -> Sequence[str]:
    for code in codes:
        if not (is_party_code(code) or is_group_code(code)):
            raise MarkingError(f"{what} names {code!r}, which is no party code (three capital letters, e.g. XBO)")
    if len(set(codes)) != len(codes):
        raise MarkingError(f"{what} names a party twice")
    return codes


def _expanded(label: Label, groups: Mapping[str, frozenset[str]]) -> Label:
    """Put members in the place of group codes; an unknown group refuses (as everybody it would fail open)."""
    released, displayed, own = label.releasable_to, label.display_only, frozenset({label.policy})
    if released is not None and (label.policy not in released or len(released) < 2):
        # Looked at as written: a group that happens to hold the originator does not stand for it.
        raise MarkingError(f"REL TO needs the originator {label.policy} and at least one other party or group")
    kept = None if released is None else expanded(released, groups)
    joint = label.origin.kind is OriginKind.JOINT
    return replace(
        label,
        releasable_to=kept,
        display_only=None if displayed is None else expanded(displayed, groups, without=own | (kept or frozenset())),
        origin=replace(
            label.origin, parties=expanded(label.origin.parties, groups, without=frozenset() if joint else own)
        ),
    )
