"""The comparison: a server on plain aiortc, as its documentation describes one."""
