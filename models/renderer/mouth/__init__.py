"""The inside of the mouth."""
