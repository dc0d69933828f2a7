"""What an image is, measured on it alone."""
