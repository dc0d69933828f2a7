"""What a training sees: images on disk or drawn, cut into patches."""
