"""Frames of one field: how they lie to each other, what they share, and what changes between them."""
