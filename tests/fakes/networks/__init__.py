"""Networks of the kernel's namespaces, with routers and a TURN server."""
