"""Run a graph, wherever it runs."""
