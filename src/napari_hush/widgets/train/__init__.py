"""The dock *Train*."""
