"""Who may come in: names, tickets, credentials, limits."""
