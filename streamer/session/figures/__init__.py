"""What a session counts, and the way of single frames through it."""
