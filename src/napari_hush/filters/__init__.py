"""Filters of planes, of which a part equals the whole."""
