"""Crystals as they are found: any cell, far displaced columns, defects, boundaries, steps and a microscope's scan."""
