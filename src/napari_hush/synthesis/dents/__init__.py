"""Regions where the material is thinner or missing, as masks that multiply a lattice."""
