"""Atom columns in rows, and unit cells and crops cut from images."""
