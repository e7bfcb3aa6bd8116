"""Dispatch: what is due for each consumer, handed over once it is committed that it is, in order per lane, by class (design 04).

Pure, in this order of use: `withheld`, `floors`, `lanes`, `credits`, `deadlines`, `tokens`, `packets`, `frames`, `checking` (its
verdicts), `logged`, `handover`, `answers`, `gathering`. Around them: `shelf` and `desk` read; `planning`, `handing` and `composing`
hand over; `answering` takes what comes back; `telling` says where a consumer stands; `session` is one stream, `claiming` begins one,
`dispatcher` is all of them. `resolving` (with `words`), `listing` and `status` serve the unary calls.
"""
