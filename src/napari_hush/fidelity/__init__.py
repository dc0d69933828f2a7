"""Evidence that nothing real was lost or invented, of one image or of a stack."""
