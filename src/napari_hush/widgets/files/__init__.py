"""Files opened and saved by napari itself: its readers and writers."""
