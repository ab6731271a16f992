"""The commands, but reports without the figures that show a model.

    python -m tests.without_figures train --seed 1

For processes of whose runs other things are looked at; tests/evaluation/test_report.py has the
figures.
"""

from fcn_tf.cli import main
from fcn_tf.commands import train

import_quietly = train.import_quietly


def and_no_figures(name: str) -> None:
    """Imports TensorFlow as the command does; only then what needs it."""
    import_quietly(name)
    from fcn_tf.evaluation import report

    report._figures = lambda *given, **options: iter([])


if __name__ == "__main__":
    train.import_quietly = and_no_figures
    main()
