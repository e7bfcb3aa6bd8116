"""Dispatch: what is due for each consumer, handed over once it is committed that it is, in order per lane, by class.

A pure core (`withheld`, `floors`, `lanes`, `credits`, `tokens`, `checking`, `packets`, `changes`) under a thin shell
(`desk`, `handing`, `answering`, `session`, `dispatcher`).
"""
