"""The tiles of a plane: where they lie, how large they may be, and what runs them through an engine."""
