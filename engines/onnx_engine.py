"""ONNX Runtime on the CPU or CUDA: the embedded default, and the reference of parity checks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from engines.base import EngineError, Tensors

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
}
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxEngine:
    """One graph in ONNX Runtime.

    Args:
        path: the ``.onnx`` file.
        device: ``"cpu"`` or ``"cuda"``.
        threads: intra-op threads; the caller owns the budget of cores.

    Raises:
        EngineError: the file cannot be read, or the provider is not there.
    """

    def __init__(
        self, path: Path, *, device: Literal["cpu", "cuda"] = "cpu", threads: int = 1
    ) -> None:
        self.provider = _PROVIDERS[device]
        if self.provider not in ort.get_available_providers():
            raise EngineError(f"ONNX Runtime has no {device.upper()} provider installed.")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads would steal the core that the encoder and the network need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: ort.InferenceSession | None = ort.InferenceSession(
                str(path), options, providers=[self.provider]
            )
        except Exception as error:  # onnxruntime raises its own undocumented types
            raise EngineError(f"The graph {path.name} cannot be loaded: {error}.") from error
        self._inputs = {i.name: i for i in self._session.get_inputs()}
        self._outputs = [o.name for o in self._session.get_outputs()]

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs in order."""
        return tuple(self._inputs)

    def warm_up(self) -> None:
        """Run once on zeros; symbolic dimensions count as one."""
        self.run(
            {
                name: np.zeros(
                    [d if isinstance(d, int) else 1 for d in meta.shape], _DTYPES[meta.type]
                )
                for name, meta in self._inputs.items()
            }
        )

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run the graph on the given tensors and return its outputs by name."""
        if self._session is None:
            raise EngineError("The engine is closed.")
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:
            raise EngineError(f"The graph failed to run: {error}.") from error
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        """Release the session."""
        self._session = None
