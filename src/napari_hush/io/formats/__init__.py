"""One file for each format of images, or one to read and one to write it."""
