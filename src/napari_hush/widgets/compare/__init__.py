"""The dock *Compare*: two layers of one field by a curtain, by blinking, along a line."""
