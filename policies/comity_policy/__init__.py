"""Agreements as code: documents, labels, lifecycle, decisions and their explanations. Imports nothing of ours."""
