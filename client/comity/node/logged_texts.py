"""What is held to decide a log's decisions with again: the texts of agreements, and the caveats that own bodies show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from comity.envelope.vocabularies import vocabularies_digest
from comity.errors import MalformedError
from comity.node.negotiation import load_document
from comity.pae import pae
from comity.texts import agreement_digest
from comity_policy.caveat import Caveat, load_caveat
from comity_policy.document import Document, DocumentError
from comity_policy.recorded import Held
from comity_policy.vocabulary import Vocabularies, bundled


class Texts:
    """Texts by their digest, and caveats by SHA-384(PAE(caveat, salt, text))."""

    def __init__(self, texts: Iterable[bytes], vocabularies: Vocabularies | None = None) -> None:
        self.documents: dict[bytes, Document] = {}
        self._vocabularies = vocabularies or bundled()
        self._caveats: dict[bytes, Caveat] = {}
        for text in texts:
            try:
                self.documents[agreement_digest(text)] = load_document(text)
            except MalformedError:
                # A text that does not load decides nothing: what names it is then told to have no text.
                continue

    def add_caveat(self, text: bytes, salt: bytes) -> bool:
        """Hold a caveat that is on one of the texts; say whether it is."""
        for document in self.documents.values():
            try:
                self._caveats[hashlib.sha384(pae("caveat", salt, text)).digest()] = load_caveat(text, document)
            except DocumentError:
                continue
            return True
        return False

    def held(self) -> Held:
        """Give what is held, for a replayer."""
        return Held(
            self.documents, self._vocabularies, vocabularies_digest(self._vocabularies.digests), dict(self._caveats)
        )
