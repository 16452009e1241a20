"""How the face networks were made."""
