"""The offline verifier: stands on the standard library, cryptography and pynacl alone.

`trees` (RFC 6962, C2SP tiles), `notes` (C2SP notes, checkpoints, policies) and `table` (audit bodies) serve broker and SDK too. The
formats and every check are described in docs/verification.md; `python -m comity.verify BUNDLE` runs them all.
"""
