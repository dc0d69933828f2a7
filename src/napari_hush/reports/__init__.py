"""What is written of the evidence of `fidelity`: a page, a sheet and pictures."""

SYMBOLS = {  # of verdicts, beside their colour
    "pass": "✓",
    "warn": "!",
    "fail": "✗",
    "open": "•",
    "not judged": "•",
    "not measured": "—",
}
