"""Synthetic people with exact ground truth, for training the refiner."""
