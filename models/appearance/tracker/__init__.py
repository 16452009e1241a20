"""Our own face networks, run by ONNX Runtime, and the choice of a tracker."""
