"""YAML in which a key that is there twice is an error: YAML itself would drop the first."""

from __future__ import annotations

from typing import Any

import yaml
from jsonargparse import get_loader, set_dumper, set_loader

STRICT = "fcn_tf_yaml"  # the `parser_mode` of every parser of this package


class DoubleKey(yaml.YAMLError):
    """A key that is there twice in a mapping."""

    def __init__(self, key: str, line: int) -> None:
        super().__init__(f"line {line}: {key} is there twice; keep one of them")
        self.key = key


def read_yaml(text: str) -> Any:
    """The values of a YAML text, as jsonargparse reads them.

    Raises:
        DoubleKey: a mapping has a key twice.
        yaml.YAMLError: it is no YAML.
    """
    _refuse_double_keys(yaml.compose(text, Loader=yaml.SafeLoader))
    return get_loader("yaml")(text)


def _refuse_double_keys(node: yaml.Node | None) -> None:
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_double_keys(child)
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in keys:
                    raise DoubleKey(key.value, key.start_mark.line + 1)
                keys.add((key.tag, key.value))
            _refuse_double_keys(value)


def _dump(values: Any) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


set_loader(STRICT, read_yaml, (yaml.YAMLError,))
set_dumper(STRICT, _dump)
