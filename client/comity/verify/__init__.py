"""The offline verifier: stands on the standard library, cryptography and pynacl alone."""
