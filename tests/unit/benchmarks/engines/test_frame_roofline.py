"""What a frame costs a GPU is counted from the graph, and follows its size."""

from __future__ import annotations

import pytest

from visavis.benchmarks.engines.frame import GPUS, counted, main
from visavis.models.renderer.graph.build import GraphBuilder
from visavis.models.renderer.graph.frame import frame_graph


def test_bytes_and_sums_are_counted_by_hand() -> None:
    g = GraphBuilder()
    x = g.input("x", (4, 8))
    product = g.op("MatMul", g.mul(x, 2.0), g.constant([[1.0] * 3] * 8))
    largest = g.op("ReduceMax", g.add(product, 1.0), g.constant([2], "int64"), keepdims=0)
    g.output(largest, "y", (4,))
    count = counted(g.model("small"), 2)
    # x 64 values, doubled 64; the product 24 of sums over 8; one more, 24; the largest 8, and 8.
    assert count.flops == 64 + 2 * 24 * 8 + 24 + 24 + 8
    doubled, product_bytes, most = 4 * 64, 4 * 24, 4 * 8
    weights, axis, numbers = 4 * 24, 8, 4
    inputs = doubled + 2 * numbers
    joined = inputs + (doubled + doubled + weights + product_bytes) + product_bytes
    joined += (product_bytes + product_bytes + axis + most) + most + most
    assert count.joined == joined
    # What is reduced, and its result before it becomes the output, stays in registers.
    assert count.reduced == joined - 2 * product_bytes - 2 * most
    assert count.kernels == 2


def test_a_larger_picture_costs_more_and_a_batch_costs_in_proportion() -> None:
    small, large = (counted(frame_graph(size), 1) for size in (128, 256))
    assert 1.2 < large.reduced / small.reduced < 4
    assert large.reduced < large.joined < large.apart
    both = counted(frame_graph(128), 2)
    assert both.flops == pytest.approx(2 * small.flops, rel=0.01)
    for gpu in GPUS:
        assert both.seconds(gpu) < 2 * small.seconds(gpu)


def test_the_table_names_every_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--size", "128", "--batch", "4"]) == 0
    printed = capsys.readouterr().out
    assert all(gpu in printed for gpu in GPUS) and "| batch 4 |" in printed
    assert main(["--size", "100"]) == 1
    assert "cannot be cut into tiles" in capsys.readouterr().err
