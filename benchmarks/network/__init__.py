"""What loss, jitter and reordering do to a call, and how it comes back."""
