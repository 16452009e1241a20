"""Who may ask and how: guard, limits of connections, TLS, the own authority."""
