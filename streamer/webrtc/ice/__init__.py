"""ICE: which sockets and addresses, which checks, and restarts."""
