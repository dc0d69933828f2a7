"""The training methods, one file each, and what they share."""
