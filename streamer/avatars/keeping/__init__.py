"""How avatars are kept: by whose consent, encrypted, and how they go for good."""
