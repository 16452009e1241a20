"""What a step of each graph costs on each engine, by batch size."""
