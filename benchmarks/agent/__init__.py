"""An agent speaks at once: to the first picture, to silence, and how exact positions are."""
