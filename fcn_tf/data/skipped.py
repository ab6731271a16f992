"""The records that are left out because their files cannot be used, and why."""

from __future__ import annotations

import threading

from fcn_tf.errors import InputError

NAMED = 3  # of the skipped records, in a message


class Skipped:
    """Notes which records were skipped. The threads of an input pipeline may share it."""

    def __init__(self) -> None:
        self._faults: dict[str, str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._faults)

    def __contains__(self, name: str) -> bool:
        return name in self._faults

    def texts(self) -> list[str]:
        """What is wrong with each record, in the order of their names."""
        return [self._faults[name] for name in sorted(self._faults)]

    def faults(self) -> dict[str, str]:
        """What is wrong with each record, by its name."""
        return dict(self._faults)

    def note(self, name: str, text: str, size: int | None = None) -> None:
        """Notes a record that is skipped.

        Args:
            name: of the record.
            text: what is wrong with it.
            size: the number of records in its split; None where all of them may be skipped.

        Raises:
            InputError: no other record of the split is left.
        """
        with self._lock:
            self._faults[name] = text
        if size is not None and len(self._faults) >= size:
            raise InputError(f"None of the {size} images of train can be used. The last: {text}")

    def summary(self, already: int = 0) -> str | None:
        """How many records are skipped, and the first of them; None where no more than before.

        Args:
            already: the number of those that were told of before.
        """
        texts = self.texts()
        if len(texts) <= already:
            return None
        first = " ".join(texts[:NAMED])
        more = f" … and {len(texts) - NAMED} more." if len(texts) > NAMED else ""
        are = "image is" if len(texts) == 1 else "images are"
        return f"{len(texts)} {are} skipped (data.broken): {first}{more}"
