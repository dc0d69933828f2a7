"""What the noisy image decides about a result: slow contrast, lattices, columns, what stands out of the noise."""
