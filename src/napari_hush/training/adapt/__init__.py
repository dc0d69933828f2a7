"""Fine-tune a model on a person's own noisy images, for minutes, and keep the outcome only where it is better."""
