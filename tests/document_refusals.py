"""What must not be in the sections on an agreement's life: a name, the changes to a good text, the path, part of the reason."""

from builders_document import ANNEX, DIGEST

TERM = 'kind = "term"\nyears = 3\n'
UNDER = f'agreement = "XAR-XBO-GSA-1"\ndigest = "{DIGEST}"'
RECEIPT = 'rule = "after-later-receipt"\n'
PROVISIONAL = 'clauses = ["3.1"]\nuntil = 2028-01-01T00:00:00Z'
AMENDS = f'version = 1\ndigest = "{DIGEST}"\napplies_to = "new"'
ENTRY = "entry_into_force"
REFUSED = {
    "a kind that is none": ({"kind": "treaty"}, "agreement.kind", "not a kind of agreement"),
    "an arrangement without its umbrella": ({"kind": "arrangement"}, "document", "section 'under' is missing"),
    "an umbrella of what is no arrangement": ({"under": UNDER}, "under", "only an arrangement"),
    "an umbrella that is the agreement itself": (
        {"kind": "arrangement", "under": UNDER.replace("XAR-XBO-GSA-1", "XAR-XBO-CT-1")},
        "under.agreement",
        "another agreement",
    ),
    "an umbrella's id that is none": (
        {"kind": "arrangement", "under": UNDER.replace("XAR-XBO-GSA-1", "xar")},
        "under.agreement",
        "id of another",
    ),
    "an umbrella's digest that is none": (
        {"kind": "arrangement", "under": UNDER.replace("ab", "AB", 1)},
        "under.digest",
        "96 hexadecimal",
    ),
    "an umbrella that grants": ({"kind": "umbrella"}, "clause[2].kind", "grants nothing"),
    "an umbrella's annex that grants": (
        {"kind": "umbrella", "more": ANNEX},
        "clause[2].kind",
        "grants nothing",
    ),
    "a rule of entry that is none": ({ENTRY: 'rule = "at-once"'}, f"{ENTRY}.rule", "Invalid enum value"),
    "a fixed date without one": ({ENTRY: 'rule = "fixed-date"'}, ENTRY, "'at' is missing"),
    "a fixed date without a zone": ({ENTRY: 'rule = "fixed-date"\nat = 2027-01-01T00:00:00'}, f"{ENTRY}.at", "UTC"),
    "a date under another rule": ({ENTRY: RECEIPT + "at = 2027-01-01T00:00:00Z"}, f"{ENTRY}.at", "no meaning"),
    "an offset from a fixed date": (
        {ENTRY: 'rule = "fixed-date"\nat = 2027-01-01T00:00:00Z\noffset = { days = 1 }'},
        f"{ENTRY}.offset",
        "no meaning",
    ),
    "an empty offset": ({ENTRY: RECEIPT + "offset = {}"}, f"{ENTRY}.offset", "either"),
    "two offsets in one": (
        {ENTRY: RECEIPT + "offset = { days = 1, first_day_of_month = 1 }"},
        f"{ENTRY}.offset",
        "eith",
    ),
    "an offset of nothing": ({ENTRY: RECEIPT + "offset = { days = 0 }"}, f"{ENTRY}.offset.days", "from 1"),
    "an offset into the past": ({ENTRY: RECEIPT + "offset = { days = -1 }"}, f"{ENTRY}.offset.days", "from 1"),
    "an offset beyond all days": (
        {ENTRY: RECEIPT + f"offset = {{ days = {1 << 62} }}"},
        f"{ENTRY}.offset.days",
        "from 1",
    ),
    "an offset of no months": (
        {ENTRY: RECEIPT + "offset = { first_day_of_month = 0 }"},
        f"{ENTRY}.offset.first_day_of_month",
        "from 1",
    ),
    "an offset in weeks": ({ENTRY: RECEIPT + "offset = { weeks = 1 }"}, f"{ENTRY}.offset.weeks", "unknown field"),
    "an offset that is text": ({ENTRY: RECEIPT + 'offset = { days = "30" }'}, f"{ENTRY}.offset.days", "Expected `int"),
    "a minimum of one": ({ENTRY: RECEIPT + "minimum = 1"}, f"{ENTRY}.minimum", "from 2 to 2"),
    "a minimum above all": ({ENTRY: RECEIPT + "minimum = 3"}, f"{ENTRY}.minimum", "from 2 to 2"),
    "a zone of this machine": ({ENTRY: RECEIPT + 'zone = "localtime"'}, f"{ENTRY}.zone", "no time zone"),
    "a zone that is a path": ({ENTRY: RECEIPT + 'zone = "../../etc/passwd"'}, f"{ENTRY}.zone", "no time zone"),
    "a zone nobody has": ({ENTRY: RECEIPT + 'zone = "Europe/Arland"'}, f"{ENTRY}.zone", "no time zone"),
    "a term without length or end": ({"duration": 'kind = "term"'}, "duration", "a length"),
    "a term with length and end": ({"duration": TERM + "until = 2030-01-01T00:00:00Z"}, "duration.until", "no meaning"),
    "a term that ends in local time": (
        {"duration": 'kind = "term"\nuntil = 2030-01-01T00:00:00+02:00'},
        "duration.until",
        "UTC",
    ),
    "a term of less than nothing": ({"duration": 'kind = "term"\nyears = -1'}, "duration.years", "positive length"),
    "a term of a negative rest": ({"duration": TERM + "months = -1"}, "duration.years", "positive length"),
    "a term of more than a century": ({"duration": 'kind = "term"\nyears = 101'}, "duration.years", "100 years"),
    "a term of half a year in a fraction": (
        {"duration": 'kind = "term"\nyears = 0.5'},
        "duration.years",
        "Expected `int",
    ),
    "a renewal of a fixed end": (
        {"duration": 'kind = "term"\nuntil = 2030-01-01T00:00:00Z\nrenewal = "tacit"'},
        "duration.renewal",
        "by its length",
    ),
    "a renewal that is none": ({"duration": TERM + 'renewal = "silent"'}, "duration.renewal", "Invalid enum value"),
    "a length without an end": ({"duration": 'kind = "indefinite"\nyears = 3'}, "duration.years", "no meaning"),
    "a renewal without an end": (
        {"duration": 'kind = "indefinite"\nrenewal = "tacit"'},
        "duration.renewal",
        "no meaning",
    ),
    "reminders of no end": (
        {"duration": 'kind = "indefinite"\nremind_days = [30]'},
        "duration.remind_days",
        "no meaning",
    ),
    "reminders that ascend": ({"duration": TERM + "remind_days = [30, 90]"}, "duration.remind_days[1]", "fewer days"),
    "a reminder said twice": ({"duration": TERM + "remind_days = [30, 30]"}, "duration.remind_days[1]", "fewer days"),
    "a reminder after the end": ({"duration": TERM + "remind_days = [30, 0]"}, "duration.remind_days[1]", "from 1"),
    "a term over before it begins": (
        {
            ENTRY: 'rule = "fixed-date"\nat = 2030-01-01T00:00:00Z',
            "duration": 'kind = "term"\nuntil = 2030-01-01T00:00:00Z',
        },
        "duration.until",
        "later than",
    ),
    "no notice at all": ({"termination": "notice = {}"}, "termination.notice", "positive length"),
    "a notice in the past": ({"termination": "notice = { days = -1 }"}, "termination.notice", "positive length"),
    "a notice of ages": (
        {"termination": f"notice = {{ months = {1 << 60} }}"},
        "termination.notice",
        "positive length",
    ),
    "a notice in hours": ({"termination": "notice = { hours = 1 }"}, "termination.notice.hours", "unknown field"),
    "a notice that runs from its sending": (
        {"termination": 'notice = { days = 1 }\nruns_from = "sending"'},
        "termination.runs_from",
        "Invalid enum value",
    ),
    "provisional application of nothing": (
        {ENTRY: RECEIPT, "provisional": PROVISIONAL.replace('"3.1"', "")},
        "provisional.clauses",
        "is empty",
    ),
    "provisional application without an end": (
        {ENTRY: RECEIPT, "provisional": 'clauses = ["3.1"]'},
        "provisional",
        "missing required field `until`",
    ),
    "provisional application of an unknown clause": (
        {ENTRY: RECEIPT, "provisional": PROVISIONAL.replace("3.1", "99")},
        "provisional.clauses[0]",
        "no clause '99'",
    ),
    "provisional application of a requirement": (
        {ENTRY: RECEIPT, "provisional": PROVISIONAL.replace('"3.1"', '"3.1", "4"')},
        "provisional.clauses[1]",
        "grants nothing",
    ),
    "provisional application said twice": (
        {ENTRY: RECEIPT, "provisional": PROVISIONAL.replace('"3.1"', '"3.1", "3.1"')},
        "provisional.clauses[1]",
        "there already",
    ),
    "provisional application of what is in force at once": (
        {ENTRY: 'rule = "on-signature"', "provisional": PROVISIONAL},
        "provisional",
        "nothing lies between",
    ),
    "provisional application in local time": (
        {ENTRY: RECEIPT, "provisional": PROVISIONAL.replace("Z", "")},
        "provisional.until",
        "UTC",
    ),
    "an amendment of a later version": ({"amends": AMENDS}, "amends.version", "version after"),
    "an amendment that skips a version": ({"version": 3, "amends": AMENDS}, "amends.version", "version after"),
    "an amendment of no digest": (
        {"version": 2, "amends": AMENDS.replace("sha384:", "sha256:")},
        "amends.digest",
        "96 hexadecimal",
    ),
    "an amendment that does not say to what it applies": (
        {"version": 2, "amends": AMENDS.replace('applies_to = "new"', "")},
        "amends",
        "missing required field `applies_to`",
    ),
    "a divergence that is decided otherwise": (
        {"interpretation": 'divergence = "english-prevails"'},
        "interpretation.divergence",
        "Invalid enum value",
    ),
    "an annex as a table": ({"more": '\n[annex]\nid = "D"\n'}, "annex", "must be written as [[annex]]"),
    "an annex without clauses": (
        {"more": '\n[[annex]]\nid = "D"\namended_by = "ratification"\n'},
        "annex[0]",
        "missing required field `clause`",
    ),
    "an annex with an empty list of clauses": (
        {"more": '\n[[annex]]\nid = "D"\namended_by = "ratification"\nclause = []\n'},
        "annex[0]",
        "at least one clause",
    ),
    "an annex whose clauses are no list": (
        {"more": '\n[[annex]]\nid = "D"\namended_by = "ratification"\nclause = 7\n'},
        "annex[0].clause",
        "must be written as [[annex.clause]]",
    ),
    "an annex with an unknown field": (
        {"more": ANNEX.replace('by = "security-authority"', 'by = "security-authority"\nsecret = true')},
        "annex[0].secret",
        "unknown field",
    ),
    "an annex there already": ({"more": ANNEX + ANNEX.replace('"D.', '"E.')}, "annex[1].id", "there already"),
    "an annex's clause with the id of the agreement's": (
        {"more": ANNEX.replace('"D.1"', '"3.1"')},
        "annex[0].clause[0].id",
        "clause '3.1' is there already",
    ),
    "two annexes' clauses of one id": (
        {"more": ANNEX + ANNEX.replace('id = "D"', 'id = "E"')},
        "annex[1].clause[0].id",
        "clause 'D.1' is there already",
    ),
    "an annex's clause of an unknown kind": (
        {"more": ANNEX.replace('kind = "article"', 'kind = "wish"')},
        "annex[0].clause[1].kind",
        "unknown clause kind 'wish'",
    ),
    "an annex's clause without a text": (
        {"more": ANNEX.replace('text.en = "The duty', 'text.xx = "The duty')},
        "annex[0].clause[1].text",
        "no text in 'en'",
    ),
    "an annex's clause with an unknown category": (
        {"more": ANNEX.replace('"cyber"', '"gossip"')},
        "annex[0].clause[0].categories[0]",
        "unknown category 'gossip'",
    ),
    "an annex's clause on an unknown topic": (
        {"more": ANNEX.replace('topic = "other"', 'topic = "weather"')},
        "annex[0].clause[1].topic[0]",
        "unknown topic",
    ),
    "an annex's id that is none": ({"more": ANNEX.replace('id = "D"', 'id = "../D"')}, "annex[0].id", "1 to 16"),
    "an annex changed by notes of nobody": (
        {"more": ANNEX.replace('by = "security-authority"\n', "")},
        "annex[0].by",
        "written by a role",
    ),
    "an annex changed by notes of a machine": (
        {"more": ANNEX.replace('by = "security-authority"', 'by = "node"')},
        "annex[0].by",
        "written by a role",
    ),
    "an annex changed by ratification of an office": (
        {"more": ANNEX.replace("exchange-of-notes", "ratification")},
        "annex[0].by",
        "no meaning",
    ),
    "an invariant that promises nothing": (
        {"more": '\n[[invariant]]\nid = "i"\n'},
        "invariant[0]",
        "kind",
    ),
}
