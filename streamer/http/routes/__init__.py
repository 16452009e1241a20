"""One file for each family of addresses, and the services that they work with."""
