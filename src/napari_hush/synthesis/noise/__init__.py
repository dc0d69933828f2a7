"""What a measurement does to a clean image."""
