"""Images of several pages or frames, of which the first is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from fcn_tf.data.pairs import Pair
from fcn_tf.images.formats import pages_of

LOOKED_AT = 500  # images; `fcn-tf check-data` names all


def say_first_pages(splits: Iterable[Sequence[Pair]]) -> None:
    """Prints how many images have several pages or frames, of at most `LOOKED_AT` in all."""
    splits = list(splits)
    places = ((pairs, number) for pairs in splits for number in range(len(pairs)))
    spread = islice(places, 0, None, -(-sum(map(len, splits)) // LOOKED_AT))
    some = [pairs[number].image for pairs, number in spread]
    with ThreadPoolExecutor() as pool:
        pages = list(pool.map(pages_of, some))
    paged = [image for image, count in zip(some, pages, strict=True) if count > 1]
    if paged:
        print(
            f"Of {len(some)} images {len(paged)} have several pages or frames, and the first of "
            f"each is read: {paged[0]}, for instance.",
            flush=True,
        )
