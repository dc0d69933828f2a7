"""Checkpoints of PyTorch: what a pickle says is read without running it."""
