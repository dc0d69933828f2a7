"""What is written of the evidence of `fidelity`: a page, a sheet and pictures."""

SYMBOLS = {"pass": "✓", "fail": "✗", "not judged": "•", "not measured": "—"}  # of verdicts, beside their colour
