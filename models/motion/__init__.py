"""Sound becomes pose windows."""
