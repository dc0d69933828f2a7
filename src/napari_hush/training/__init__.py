"""Training: supervised, adversarial and without clean images; every long run is resumable and nothing is lost."""
