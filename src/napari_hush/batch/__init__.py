"""Files that are denoised one after the other: which, and each of them from its file to that of its result."""
