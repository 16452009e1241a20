"""The data channels of a session."""
