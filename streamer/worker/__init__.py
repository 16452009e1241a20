"""The process that owns the models and the frames."""
