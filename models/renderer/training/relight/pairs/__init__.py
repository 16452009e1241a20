"""Training pairs of portraits and of synthetic people."""
