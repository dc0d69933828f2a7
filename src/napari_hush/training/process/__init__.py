"""A training in a process of its own, which knows nothing of Qt."""
