"""The noise of an instrument, measured from its images."""
