"""What is written of the evidence of `fidelity`: a page, a sheet and pictures."""

SYMBOLS = {
    "pass": "✓",
    "warn": "!",
    "fail": "✗",
    "open": "•",
    "not judged": "•",
    "not measured": "—",
}  # of verdicts, beside their colour
