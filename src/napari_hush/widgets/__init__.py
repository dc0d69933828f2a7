"""The dock widgets of napari: forms around the library's functions, with no science of their own."""
