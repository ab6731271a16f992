"""The commands: each is the file of its name, with an underscore for a hyphen.

A file declares the options in a dataclass, and a function of it does the work; its `COMMAND`
brings both to the command line. What is heavy is imported inside the function, so that no command
waits for TensorFlow to show its help.
"""

import importlib

from fcn_tf.commands.options import Command

# In the order in which --help lists them.
NAMES = (
    "train",
    "evaluate",
    "predict",
    "export",
    "request",
    "check-data",
    "prepare",
    "import-weights",
    "heatmap",
)


def find_command(name: str) -> Command:
    """The command of a name out of `NAMES`."""
    return importlib.import_module(f"fcn_tf.commands.{name.replace('-', '_')}").COMMAND
