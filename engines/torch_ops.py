"""What each operator of our graphs is in torch; needs torch.

Written out rather than converted by a package: the operators are few, and nothing may wait for the
GPU or copy to it, or a step could not be recorded as a CUDA graph. So sizes, indices and limits
stay on the CPU.
"""

# Types are checked in part: torch: without types for most operators.
# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Op = Callable[..., Any]


def _ints(value: Tensor) -> list[int]:
    return [int(v) for v in value.reshape(-1).tolist()]


def _pads(a: Mapping[str, Any], dims: int) -> list[int]:
    """ONNX lists all beginnings, then all ends; torch wants pairs from the last dimension on."""
    pads = a.get("pads") or [0] * (2 * dims)
    pairs: list[int] = []
    for i in reversed(range(dims)):
        pairs += [pads[i], pads[i + dims]]
    return pairs


def _conv(a: Mapping[str, Any], x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    dims = w.ndim - 2
    pads = a.get("pads") or [0] * (2 * dims)
    padding: list[int] = list(pads[:dims])
    if pads[:dims] != pads[dims:]:
        x, padding = functional.pad(x, _pads(a, dims)), [0] * dims
    run = (functional.conv1d, functional.conv2d, functional.conv3d)[dims - 1]
    strides, dilations = a.get("strides") or [1] * dims, a.get("dilations") or [1] * dims
    return run(x, w, b, strides, padding, dilations, a.get("group", 1))


def _conv_transpose(a: Mapping[str, Any], x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    dims = w.ndim - 2
    pads = a.get("pads") or [0] * (2 * dims)
    run = (functional.conv_transpose1d, functional.conv_transpose2d)[dims - 1]
    return run(
        x,
        w,
        b,
        stride=a.get("strides") or [1] * dims,
        padding=pads[:dims],
        output_padding=a.get("output_padding") or [0] * dims,
        groups=a.get("group", 1),
        dilation=a.get("dilations") or [1] * dims,
    )


def _pool(a: Mapping[str, Any], x: Tensor, *, mean: bool) -> Tensor:
    kernel = a["kernel_shape"]
    strides = a.get("strides") or [1] * len(kernel)
    padding = (a.get("pads") or [0] * (2 * len(kernel)))[: len(kernel)]
    if mean:
        inside = bool(a.get("count_include_pad", 0))
        return functional.avg_pool2d(x, kernel, strides, padding, False, inside)
    return functional.max_pool2d(x, kernel, strides, padding)


def _slice(
    a: Mapping[str, Any],
    x: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    first, last = _ints(starts), _ints(ends)
    along = _ints(axes) if axes is not None else list(range(len(first)))
    by = _ints(steps) if steps is not None else [1] * len(first)
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        size = x.shape[axis]
        if step < 0:
            begin = min(start + size if start < 0 else start, size - 1)
            stop = max(end + size if end < 0 else end, -1) if end > -size - 1 else -1
            picked = torch.arange(begin, stop, step, device=x.device)
            x = x.index_select(axis, picked)
            continue
        begin = max(0, start + size) if start < 0 else min(start, size)
        stop = max(0, end + size) if end < 0 else min(end, size)
        x = x.narrow(axis, begin, max(0, stop - begin))
        if step > 1:
            x = x.index_select(axis, torch.arange(0, x.shape[axis], step, device=x.device))
    return x


def _flatten(a: Mapping[str, Any], x: Tensor) -> Tensor:
    """Always two dimensions, cut at the axis."""
    before = x.shape[: a.get("axis", 1) % (x.ndim + 1)]
    return x.reshape(before.numel(), -1)


def _gather(a: Mapping[str, Any], x: Tensor, index: Tensor) -> Tensor:
    axis = a.get("axis", 0)
    if index.ndim == 0:
        return x.select(axis, int(index))
    axis %= x.ndim
    rows = [x.narrow(axis, i % x.shape[axis], 1) for i in _ints(index)]
    return torch.cat(rows, axis).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _reshape(a: Mapping[str, Any], x: Tensor, shape: Tensor) -> Tensor:
    sizes = _ints(shape)
    return x.reshape([x.shape[i] if s == 0 else s for i, s in enumerate(sizes)])


def _unsqueeze(a: Mapping[str, Any], x: Tensor, axes: Tensor) -> Tensor:
    rank = x.ndim + axes.numel()
    for axis in sorted(v % rank for v in _ints(axes)):
        x = x.unsqueeze(axis)
    return x


def _squeeze(a: Mapping[str, Any], x: Tensor, axes: Tensor | None = None) -> Tensor:
    if axes is None:
        return x.squeeze()
    for axis in sorted((v % x.ndim for v in _ints(axes)), reverse=True):
        x = x.squeeze(axis)
    return x


def _split(a: Mapping[str, Any], x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    if sizes is not None:
        return tuple(x.split(_ints(sizes), axis))
    return tuple(x.chunk(a.get("num_outputs", a["outputs"]), axis))


def _reduce(run: Callable[..., Tensor]) -> Op:
    def reduce(a: Mapping[str, Any], x: Tensor, axes: Tensor | None = None) -> Tensor:
        along = _ints(axes) if axes is not None else a.get("axes") or list(range(x.ndim))
        return run(x, dim=along, keepdim=bool(a.get("keepdims", 1)))

    return reduce


def _resize(
    a: Mapping[str, Any],
    x: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    size = _ints(sizes)[2:] if sizes is not None else None
    scale = [float(v) for v in scales.reshape(-1).tolist()[2:]] if size is None else None  # type: ignore[union-attr]
    mode, where = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel")
    if mode == "nearest":
        if a.get("nearest_mode", "round_prefer_floor") == "floor" and where == "asymmetric":
            return functional.interpolate(x, size, scale, "nearest")
        return functional.interpolate(x, size, scale, "nearest-exact")
    corners = where == "align_corners"
    kind = "bilinear" if mode == "linear" else "bicubic"
    return functional.interpolate(x, size, scale, kind, align_corners=corners)


def _depth_to_space(a: Mapping[str, Any], x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    k = a["blocksize"]
    if a.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x, k)
    x = x.reshape(n, k, k, c // (k * k), h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // (k * k), h * k, w * k)


def _space_to_depth(a: Mapping[str, Any], x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    k = a["blocksize"]
    x = x.reshape(n, c, h // k, k, w // k, k).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * k * k, h // k, w // k)


def _grid_sample(a: Mapping[str, Any], x: Tensor, grid: Tensor) -> Tensor:
    mode = {"bilinear": "bilinear", "linear": "bilinear"}.get(_text(a, "mode", "linear"), "nearest")
    corners = bool(a.get("align_corners", 0))
    return functional.grid_sample(x, grid, mode, _text(a, "padding_mode", "zeros"), corners)


def _text(a: Mapping[str, Any], name: str, default: str) -> str:
    value = a.get(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)


def _gemm(a: Mapping[str, Any], x: Tensor, y: Tensor, z: Tensor | None = None) -> Tensor:
    x = x.mT if a.get("transA") else x
    y = y.mT if a.get("transB") else y
    out = a.get("alpha", 1.0) * (x @ y)
    return out if z is None else out + a.get("beta", 1.0) * z


def _clip(a: Mapping[str, Any], x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    return torch.clamp(
        x, None if low is None else float(low), None if high is None else float(high)
    )


def _pad(
    a: Mapping[str, Any], x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Any = None
) -> Tensor:
    mode = {"edge": "replicate"}.get(_text(a, "mode", "constant"), _text(a, "mode", "constant"))
    pairs = _pads({"pads": _ints(pads)}, x.ndim)
    while len(pairs) > 2 and pairs[-2:] == [0, 0]:
        pairs = pairs[:-2]
    if mode == "constant":
        return functional.pad(x, pairs, mode, 0.0 if value is None else float(value))
    return functional.pad(x, pairs, mode)


def _layer_norm(a: Mapping[str, Any], x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    shape = x.shape[a.get("axis", -1) % x.ndim :]
    return functional.layer_norm(x, shape, w, b, a.get("epsilon", 1e-5))


def _mod(a: Mapping[str, Any], x: Tensor, y: Tensor) -> Tensor:
    return torch.fmod(x, y) if a.get("fmod") else torch.remainder(x, y)


def _div(a: Mapping[str, Any], x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _constant_of_shape(a: Mapping[str, Any], shape: Tensor) -> Tensor:
    """Numbers are made where they are used, since a recorded step cannot copy them there."""
    value = a.get("value")
    filled = torch.zeros(1) if value is None else value
    device = a.get("device") if filled.is_floating_point() else None
    return torch.full(_ints(shape), filled.item(), dtype=filled.dtype, device=device)


def _plain(run: Callable[..., Any]) -> Op:
    return lambda a, *x: run(*x)


def _expand(a: Mapping[str, Any], x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, _ints(shape)))


HOST_INPUTS: Mapping[str, tuple[int, ...]] = {"Clip": (1, 2), "Resize": (1, 2, 3), "Pad": (2,)}
"""Inputs of these operators are read as numbers, so they have to be on the CPU."""

_PLAIN: dict[str, Callable[..., Any]] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Pow": torch.pow, "MatMul": torch.matmul,
    "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Erf": torch.erf,
    "Exp": torch.exp, "Log": torch.log, "Sqrt": torch.sqrt, "Neg": torch.neg, "Abs": torch.abs,
    "Sin": torch.sin, "Cos": torch.cos, "Floor": torch.floor, "Ceil": torch.ceil,
    "Round": torch.round, "Reciprocal": torch.reciprocal, "Softplus": functional.softplus,
    "HardSwish": functional.hardswish, "Equal": torch.eq, "Less": torch.lt, "Greater": torch.gt,
    "Not": torch.logical_not, "And": torch.logical_and, "Or": torch.logical_or,
    "Where": torch.where, "Identity": lambda x: x,
    "PRelu": lambda x, slope: torch.where(x < 0, x * slope, x),
    "Shape": lambda x: torch.tensor(x.shape, dtype=torch.int64),
    "Min": torch.minimum, "Max": torch.maximum,
    "Range": lambda first, last, step: torch.arange(int(first), int(last), int(step)),
}  # fmt: skip

OPS: dict[str, Op] = {
    **{name: _plain(run) for name, run in _PLAIN.items()},
    "AveragePool": lambda a, x: _pool(a, x, mean=True),
    "MaxPool": lambda a, x: _pool(a, x, mean=False),
    "GlobalAveragePool": lambda a, x: x.mean(dim=(-2, -1), keepdim=True),
    "Clip": _clip,
    "Concat": lambda a, *x: torch.cat(x, a["axis"]),
    "ConstantOfShape": _constant_of_shape,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Div": _div,
    "Elu": lambda a, x: functional.elu(x, a.get("alpha", 1.0)),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": lambda a, x: functional.gelu(x, approximate=_text(a, "approximate", "none")),
    "Gemm": _gemm,
    "GridSample": _grid_sample,
    "HardSigmoid": lambda a, x: (x * a.get("alpha", 0.2) + a.get("beta", 0.5)).clamp(0, 1),
    "InstanceNormalization": lambda a, x, w, b: functional.instance_norm(
        x, weight=w, bias=b, eps=a.get("epsilon", 1e-5)
    ),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda a, x: functional.leaky_relu(x, a.get("alpha", 0.01)),
    "Mod": _mod,
    "Pad": _pad,
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Softmax": lambda a, x: x.softmax(a.get("axis", -1)),
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": lambda a, x, times: x.repeat(_ints(times)),
    "Transpose": lambda a, x: x.permute(a.get("perm") or list(reversed(range(x.ndim)))),
    "Unsqueeze": _unsqueeze,
}
