"""The evidence of `fidelity` over whole images and stacks, and what is written of it: a page and a sheet."""

SYMBOLS = {"pass": "✓", "fail": "✗", "not judged": "•", "not measured": "—"}  # of verdicts, beside their colour
