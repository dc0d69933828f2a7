"""An image's whole way: planes, scale, tiles and engines, and what guards and judges the result."""
