"""What the builders of trunks are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fcn_tf.config.networks import GeometrySpec


@dataclass(frozen=True, kw_only=True)
class TrunkArguments:
    """The arguments of a trunk's builder; each builder uses those that concern it.

    Args:
        width, head_units, fc6_kernel, dropout, output_stride: as `build_fcn` takes them.
        geometry: how the maps are placed on the image.
        dtype: the dtype policy of the layers.
        gives_levels: whether VGG gives the maps before its pools in place of those behind them and
            of fc7.
    """

    width: float
    head_units: int
    fc6_kernel: int
    dropout: float
    output_stride: int
    geometry: GeometrySpec
    dtype: Any
    gives_levels: bool = False
