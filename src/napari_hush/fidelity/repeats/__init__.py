"""What several measurements of one field say about its denoised image."""
