"""An agreement with a clause of every kind, as text: the bundled example and one clause more for each kind it lacks."""

from __future__ import annotations

from builders_document import DIGEST, agreement_text

# Per clause id: kind, and its fields as they are written in TOML.
MORE: dict[str, tuple[str, str]] = {
    "20": (
        "need-to-know",
        (
            'rows = [{ party = "XBO", offices = ["ct-desk"], officers = ["XBO/officer1"] }, '
            '{ party = "XAR", communities = ["counter-terrorism"] }]'
        ),
    ),
    "21": (
        "onward",
        'max_hops = 1\npre_approved = [{ from = "XAR", to = "XBO", category = "terrorism", portions = "any" }]',
    ),
    "22": (
        "personal-data",
        (
            'purposes = ["counter-terrorism", "threat-to-life"]\nspecial_categories = "deny"\npersons_max = 10\n'
            "review_every = { weeks = 52 }\ncorrect_within = { days = 5 }"
        ),
    ),
    "23": (
        "channel",
        (
            'rows = [{ party = "XAR", level = "SECRET", by = "courier" }, '
            '{ party = "XAR", level = "TOP-SECRET", by = "voice" }]'
        ),
    ),
    "24": (
        "reproduction",
        (
            'rows = [{ party = "XAR", level = "RESTRICTED", copies = "registered" }, '
            '{ party = "XAR", level = "CONFIDENTIAL", copies = "consent" }]'
        ),
    ),
    "25": ("quota", 'from = "XAR"\nto = "XBO"\nwindow = "day"\nreports = 200\nbytes = 1000000'),
    "26": ("dual-control", 'from = [{ party = "XAR", level = "CONFIDENTIAL" }]\nofficers = 2'),
    "27": (
        "acknowledge",
        "within = { FLASH = { minutes = 10 }, ROUTINE = { days = 1 } }\nstop_after = { days = 3 }",
    ),
    "28": ("use", 'caveat.en = "For intelligence only."\nevidence = "consent"\naction_on = "free"'),
    "29": ("relabel", "notice = { weeks = 6 }\nlapse_years = 30"),
    "30": ("emergency", 'to = ["XBO"]\nonward = true\nreview_within = { hours = 24 }'),
    "31": ("survives", 'clauses = ["8", "28", "29"]'),
    "32": (
        "audit",
        (
            'oversight = [{ party = "XAR", body = "parliamentary control", access = "events" }]\n'
            'keep_log = { days = 3650 }\non_failure = "halt"'
        ),
    ),
    "33": ("breach", "notify = { hours = 24 }\ninitial_report = { hours = 72 }\nmeasures = { days = 30 }"),
    "34": ("disputes", "consult = { days = 30 }\nescalate = { days = 60 }"),
    "35": ("security-measures", "attest_every = { days = 365 }"),
    "36": (
        "authorities",
        (
            'contacts = [{ party = "XAR", role = "security authority", name = "Office for Security", contact = "+0 1" }, '
            '{ party = "XBO", role = "security authority", name = "Bureau of Security", contact = "+0 2" }]'
        ),
    ),
    "37": (
        "clearance",
        'officer_from = [{ party = "XAR", level = "CONFIDENTIAL" }, { party = "XBO", level = "SECRET" }]',
    ),
    "38": (
        "retention",
        (
            'longest = { days = 20 }\nend = [{ party = "XAR", level = "SECRET", end = "return" }]\nwitnesses = 2\n'
            "emergency_destruction = true"
        ),
    ),
    "39": ("capabilities", 'wire = [1]\nsuites = [1]\nobligations = ["use", "destruction-certificate"]'),
}


def clause_text(clause_id: str, kind: str, fields: str) -> str:
    return f'\n[[clause]]\nid = "{clause_id}"\nkind = "{kind}"\ntext.en = "As both parties agreed."\n{fields}\n'


def every_kind(changed: dict[str, str] | None = None, *, kind: str = "agreement", **sections: str | None) -> str:
    """Give the text, some clauses with other fields."""
    more = "".join(
        clause_text(clause_id, name, (changed or {}).get(clause_id, fields))
        for clause_id, (name, fields) in MORE.items()
    )
    return agreement_text(kind=kind, more=more, **sections)


def caveat_text(*clauses: tuple[str, str, str], heading: str = "", agreement: str = "XAR-XBO-CT-1") -> str:
    """Give a caveat of Arland with these clauses: id, kind and fields."""
    body = "".join(clause_text(*clause) for clause in clauses)
    return (
        f'[caveat]\nparty = "XAR"\nid = "NO-ROUTES"\nagreement = "{agreement}"\ndigest = "{DIGEST}"\n'
        f'partner_text = "Arland applies a limitation."\n{heading}\n{body}'
    )
