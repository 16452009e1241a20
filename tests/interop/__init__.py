"""Other people's clients, as they are, against our server."""
