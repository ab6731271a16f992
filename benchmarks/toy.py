"""The option --toy, with which a benchmark runs in seconds and shows only that it works.

Sizes are the least that do, there is one round, and no bar decides about the exit code. The figures
then mean nothing. tests/test_benchmarks.py runs every script so.
"""


def parse(parser, **least):
    """Parses the command line, to which it adds --toy.

    Args:
        parser: an `ArgumentParser`.
        **least: with --toy the defaults of options, by their names.

    Returns:
        the arguments.
    """
    parser.add_argument("--toy", action="store_true", help="least sizes, one round, no bar")
    arguments = parser.parse_args()
    if arguments.toy:
        parser.set_defaults(**least)
        arguments = parser.parse_args()
    return arguments


def exit_code(missed, arguments):
    """1 if a bar was missed, and 0 if not, or with --toy."""
    return int(bool(missed) and not arguments.toy)
