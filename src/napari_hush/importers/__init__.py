"""Model files of others, each format in files of its own."""
