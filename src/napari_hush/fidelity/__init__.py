"""Evidence that nothing real was lost or invented, and the guard that keeps it so."""
