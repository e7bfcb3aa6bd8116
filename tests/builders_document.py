"""Agreement texts for tests: the bundled example with sections exchanged, left out or added."""

from __future__ import annotations

import re
from importlib.resources import files

EXAMPLE = (files("comity_policy") / "examples" / "xar-xbo-ct.toml").read_text(encoding="utf-8")
DIGEST = "sha384:" + "ab" * 48

ANNEX = """
[[annex]]
id = "D"
amended_by = "exchange-of-notes"
by = "security-authority"
[[annex.clause]]
id = "D.1"
kind = "scope"
from = "XAR"
to = "XBO"
categories = ["cyber"]
kinds = ["report"]
text.en = "Arland may also report on attacks on computers."
[[annex.clause]]
id = "D.2"
kind = "article"
topic = "other"
text.en = "The duty rosters are exchanged every month."
"""


def with_section(text: str, name: str, body: str | None) -> str:
    """Give the text with another body of ``[name]``, without that section (None), or with it at the end."""
    section = re.compile(rf"^\[{re.escape(name)}\]\n.*?(?=^\[)", re.MULTILINE | re.DOTALL)
    written = "" if body is None else f"[{name}]\n{body.strip()}\n\n"
    replaced, count = section.subn(lambda _: written, text)
    return replaced if count else f"{text}\n{written}"


def agreement_text(*, kind: str = "agreement", version: int = 1, more: str = "", **sections: str | None) -> str:
    """Give the example's text with that kind and version, its sections as given, and more at its end."""
    text = EXAMPLE.replace('kind = "agreement"', f'kind = "{kind}"', 1).replace(
        "version = 1", f"version = {version}", 1
    )
    for name, body in sections.items():
        text = with_section(text, name, body)
    return text + more
