"""Texts made from an example agreement."""

from pathlib import Path

from comity.texts import agreement_digest


def umbrella_and_arrangement(example: Path) -> tuple[Path, Path]:
    """The example without what it grants as an umbrella, and the whole example as an arrangement under it."""
    text = example.read_text()
    head, *clauses = text.split("[[clause]]")
    kept = [one for one in clauses if 'kind = "scope"' not in one and 'kind = "ceiling"' not in one]
    above = "[[clause]]".join([head.replace('kind = "agreement"', 'kind = "umbrella"').replace("CERT-1", "U"), *kept])
    umbrella = example.with_name("umbrella.toml")
    umbrella.write_text(above)
    under = (
        f'[under]\nagreement = "XAR-XDE-U"\ndigest = "sha384:{agreement_digest(above.encode()).hex()}"\n\n[parties.XAR]'
    )
    arrangement = text.replace('kind = "agreement"', 'kind = "arrangement"').replace("[parties.XAR]", under)
    example.write_text(arrangement)
    return umbrella, example
