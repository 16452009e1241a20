"""Light in the open mouth by a small network: what runs."""
