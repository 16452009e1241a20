"""The models of one session, and what they share in a process."""
