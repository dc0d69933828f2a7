"""The dock *Evaluate*."""
