"""The product on systems that have never seen it."""
