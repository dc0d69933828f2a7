"""What runs a network on a batch of tiles: torch, the reference everywhere, or OpenVINO, faster on CPUs."""
