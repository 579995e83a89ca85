"""Normalisation over whole volumes whose sums neither lose digits nor depend on the number of threads.

OpenVINO sums a channel with one running sum a thread. Over the sixteen million voxels of a head that loses four digits (measured on the
brain network: outputs off by 0.03 with two threads and by 0.06 with one; by 0.00004 with what stands here), and another number of threads
gives another answer. Here every cube of eight voxels' side is averaged first, then the averages are summed.
"""

from typing import Any

import numpy as np

from inference.engines.library_telemetry import openvino

SIDE = 8
_FIRST_SPATIAL = 2


def steady_normalisation(model: Any) -> int:
    """Replace every instance normalisation over all spatial axes, in place; returns how many.

    Left as they are: normalisation over the channels too (batches of vectors: their sums are short), and models of other numbers.
    """
    ov = openvino()
    from openvino.passes import ConstantFolding, Manager

    # what torch's front end leaves to be computed, the axes of a normalisation among it
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    replaced = 0
    for node in model.get_ops():
        if node.get_type_name() != "MVN" or node.get_output_element_type(0) != ov.Type.f32:
            continue
        axes, form = _axes(node), node.get_attributes()
        rank = node.input_value(0).get_partial_shape().rank
        spatial = None if rank.is_dynamic else list(range(_FIRST_SPATIAL, rank.get_length()))
        if axes is None or axes != spatial or not 1 <= len(axes) <= 3:
            continue
        _replace(node, axes, float(form["eps"]), inside=form["eps_mode"].lower() == "inside_sqrt", scaled=bool(form["normalize_variance"]))
        replaced += 1
    if replaced:
        model.validate_nodes_and_infer_types()
    return replaced


def _axes(node: Any) -> list[int] | None:
    constant = node.input_value(1).get_node()
    if constant.get_type_name() != "Constant":
        return None
    rank = node.input_value(0).get_partial_shape().rank
    count = rank.get_length() if rank.is_static else 0
    return sorted(int(axis) % count if count else int(axis) for axis in np.atleast_1d(constant.data))


def _replace(node: Any, axes: list[int], eps: float, *, inside: bool, scaled: bool) -> None:
    from openvino import opset13 as op
    from openvino.utils import replace_node

    values = node.input_value(0)
    cube = [SIDE] * len(axes)
    sides = op.gather(op.shape_of(values, "i64"), op.constant(axes), op.constant(0))
    count = op.convert(op.reduce_prod(sides, op.constant([0])), "f32")
    share = op.divide(op.constant(np.float32(SIDE ** len(axes))), count)

    def mean(of: Any) -> Any:
        # zeros behind the end fill the last cubes; they are counted in the average, so its sum is right
        averages = op.avg_pool(
            of, strides=cube, pads_begin=[0] * len(axes), pads_end=[SIDE - 1] * len(axes), kernel_shape=cube, exclude_pad=False
        )
        return op.multiply(op.reduce_sum(averages, op.constant(axes), keep_dims=True), share)

    centred = op.subtract(values, mean(values))
    made = centred
    if scaled:
        variance, least = mean(op.multiply(centred, centred)), op.constant(np.float32(eps))
        deviation = op.sqrt(op.add(variance, least)) if inside else op.add(op.sqrt(variance), least)
        made = op.multiply(centred, op.divide(op.constant(np.float32(1)), deviation))
    made.set_friendly_name(node.get_friendly_name())
    replace_node(node, made)
