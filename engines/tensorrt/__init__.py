"""TensorRT: compiler, plan on a GPU, and the way to one."""
