"""What an instrument did to an image on the way: rows at wrong places, rows that wander, a slow detector."""
