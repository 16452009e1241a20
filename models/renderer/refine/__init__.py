"""The mouth's refiner: a few-step network after the warp, its data, its training, its runtime."""
