"""The dock *Synthesise*."""
