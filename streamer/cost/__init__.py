"""What a session costs: one's own machine against hired ones and against services."""
