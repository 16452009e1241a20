"""How the face basis is computed."""
