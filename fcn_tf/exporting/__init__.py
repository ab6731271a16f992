"""Models for a server and for a phone, each proven equal before it gets its name."""

from fcn_tf.exporting.export import export

__all__ = ["export"]
