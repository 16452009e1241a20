"""One photo becomes an Identity bundle."""
