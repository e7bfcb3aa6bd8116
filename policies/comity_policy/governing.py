"""What of a living agreement decides: the version, its umbrella as it stands, and the national caveats in force.

Rules in order:

1. What is shared now is decided by the version that governs now. What was shared before stays under the version it names
   (`State.version`), in today's state: is the agreement in force, whom does it bind, what is suspended. Where a later version
   applies to what is held if it is stricter, what was shared before passes both.
2. An arrangement is decided with the umbrella's text that its version names by digest. For what is shared now that must be
   the umbrella's version that governs: an umbrella that was amended carries no arrangement that does not name the new
   text. What was shared before stays under the umbrella it was shared under, as long as the umbrella is in force.
3. A caveat binds every version of its agreement until it is withdrawn. One that does not read under a version (it sets a level
   for each direction, and the version has another) is closed there (`caveat.binding`): what its party shares is refused by it,
   the state of the agreement is what its steps say, and it is never left out.

A `Basis` is all that a compiled agreement depends on; two with equal `key` compile to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comity_policy.caveat import binding, read_caveat
from comity_policy.companions import Umbrella
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement, compile_agreement
from comity_policy.facts import AgreementState
from comity_policy.negotiation import Version
from comity_policy.state import State
from comity_policy.texts import later_for_held
from comity_policy.vocabulary import Vocabularies

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Basis:
    """What is compiled: a version in a state, its umbrella, and the texts of caveats by (party, caveat)."""

    version: Version
    state: AgreementState
    umbrella: Umbrella | None
    caveats: Mapping[tuple[str, str], bytes]

    @property
    def key(self) -> Key:
        """Give what two bases that compile to the same have in common."""
        above = None if self.umbrella is None else (self.umbrella.digest, self.umbrella.state)
        return (self.version.digest, self.state, above, frozenset(self.caveats.items()))

    def compiled(self, vocabularies: Vocabularies) -> CompiledAgreement:
        """Give the agreement ready to decide; raises VocabularyError, DocumentError for a caveat that nobody could have added."""
        document, digest = self.version.document, bytes.fromhex(self.version.digest)
        caveats = [binding(read_caveat(text), document, digest) for text in self.caveats.values()]
        return compile_agreement(document, digest, self.state, vocabularies, umbrella=self.umbrella, caveats=caveats)


def sharing(state: State, umbrella: State | None, caveats: Mapping[tuple[str, str], bytes]) -> Basis:
    """Give what decides on what is shared at the moment of these states; `caveats` are those that are known here."""
    version = state.current
    return Basis(version, state.policy(), _above(version.document, umbrella, shared_before=False), caveats)


def shared_before(
    digest: str, state: State, umbrella: State | None, caveats: Mapping[tuple[str, str], bytes]
) -> tuple[Basis, ...]:
    """Give what decides now on what was shared under the version with that digest, in hex: it passes each of these.

    Empty where no version with it governs or governed: what names it was never shared.
    """
    version = state.version(digest)
    if version is None:
        return ()
    return tuple(
        Basis(one, state.policy(one), _above(one.document, umbrella, shared_before=True), caveats)
        for one in (version, *later_for_held(state, version))
    )


def known_caveats(state: State, texts: Mapping[str, bytes]) -> dict[tuple[str, str], bytes]:
    """Give the caveats in force whose text is known; `texts` are by the caveat's digest, in hex."""
    return {name: texts[digest] for name, digest in state.caveats.items() if digest in texts}


def _above(document: Document, umbrella: State | None, *, shared_before: bool) -> Umbrella | None:
    under = document.under
    if under is None or umbrella is None or umbrella.document.id != under.agreement:
        return None
    version = umbrella.version(under.digest.removeprefix("sha384:"))
    if version is None:
        return None
    if version is not umbrella.current and not shared_before:
        return None
    return Umbrella(version.document, bytes.fromhex(version.digest), umbrella.policy(version))
