"""The full head: its parts, its pose, the light inside."""
