"""The dock *Denoise*."""
