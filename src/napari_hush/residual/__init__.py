"""What a denoiser took away, against the noise that the image has: level, scales, support."""
