"""Data sets of noisy and clean images with known truth: drawn in memory, or written to disk for training."""
