"""Lattices and atom columns in images: their period, their positions, and the local strength of a lattice."""
