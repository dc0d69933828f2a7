"""Pictures without a lattice: foams, cells, leaves and textures."""
