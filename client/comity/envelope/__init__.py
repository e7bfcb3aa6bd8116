"""Envelope v1: how a report is sealed, signed, routed and opened (design 03). Pure rules: no I/O, no clock of its own.

Read in this order: `limits`, `records` (the encoding), `profile`, `core`, `manifest`, `segment`, `tree` (the structures),
`packets`, `padding`, `chunked` (what is encrypted), `evidence`, `receipts`, `exported` (what is signed about envelopes),
`checks` (every equality that needs no state), and at last `seal` and `open`.
"""
