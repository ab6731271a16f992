"""What is said of a folder in which no images with masks are found."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from fcn_tf.data.candidates import Candidate, candidates_of
from fcn_tf.data.find_layout import option
from fcn_tf.data.listing import Listing
from fcn_tf.data.patterns import SUFFIXES, Layout, Pattern
from fcn_tf.data.templates import Group, group_folders
from fcn_tf.data.tree import Tree, join
from fcn_tf.data.words import read_name
from fcn_tf.errors import InputError
from fcn_tf.files import shown_name

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
ARRAYS = (".npz", ".npy", ".h5", ".hdf5", ".mat", ".pkl", ".parquet", ".arrow", ".nii", ".dcm")
RECORDS = re.compile(r"\.tfrecords?(-\d+-of-\d+)?$|\.array_record(-\d+-of-\d+)?$")
LABEL_STUDIO = re.compile(r"task-\d+-annotation-\d+-by-.+\.png")
WHAT = "data_dir is a folder of images and masks, each mask an image file of its own"
PEEK = 65536  # bytes at the start and at the end of a JSON file that tell its kind
NAMED = 6  # folders that a message names


def check_is_folder(data_dir: Path) -> None:
    """Refuses what is not a folder.

    Raises:
        InputError: there is no such folder, or it is a file.
    """
    if data_dir.is_file():
        what = f"a file, but {WHAT}."
        if data_dir.suffix.lower() in ARCHIVES:
            what = "an archive: unpack it, and give the folder."
        raise InputError(f"data.data_dir={shown_name(data_dir)} is {what}")
    if not data_dir.is_dir():
        raise InputError(f"data.data_dir={shown_name(data_dir)}: no such folder.")


def not_understood(tree: Tree, known: Sequence[Layout]) -> str:
    """The message for a folder in which no layout is found: what is there, and what to do."""
    if not tree.folders:
        return f"{shown_name(tree.root)} is empty, but {WHAT}."
    start = f"{shown_name(tree.root)} has no images with masks that are recognised. Found: "
    reason = next(_reasons(tree), "") or _nearest(tree, known)
    return f"{start}{found_files(tree)}. {reason}"


def no_pair(tree: Tree, layout: Layout, listing: Listing) -> str:
    """The message for a layout that was given and pairs no file."""
    images = sum(map(len, listing.unlabelled.values()))
    suggestions = _suggestions(tree)
    hint = f" Try {' or '.join(map(option, suggestions))}." if suggestions else ""
    return (
        f"data.layout={str(layout)!r} pairs no image with a mask: {images} files fit its first "
        f"pattern. Found: {found_files(tree)}.{hint}"
    )


def found_files(tree: Tree) -> str:
    """The folders with the most files, each with the number of its files by suffix."""
    folders = sorted(tree.folders.items(), key=lambda item: -len(item[1]))
    parts = []
    for folder, names in folders[:NAMED]:
        kinds = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in names)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
        parts.append(f"{shown_name(folder) or 'the folder itself'} ({counts})")
    if len(folders) > NAMED:
        parts.append(f"{len(folders) - NAMED} more folders")
    return ", ".join(parts)


def _reasons(tree: Tree) -> Iterator[str]:
    """Why a folder of a known kind is not read, and what to do; nothing for other folders."""
    names = [name for files in tree.folders.values() for name in files]
    images = [join(*file) for file in tree.files(tuple(SUFFIXES))]
    if any(LABEL_STUDIO.fullmatch(name) for name in names):
        yield (
            "These are the brush masks of Label Studio, one file for each label of a task; their "
            'names do not say which image they belong to. Export "COCO with images" instead.'
        )
    if not images:
        yield from _without_images(names)
    else:
        yield from _with_annotations(tree, images)


def _without_images(names: list[str]) -> Iterator[str]:
    lower = [name.lower() for name in names]
    if any(name.endswith(ARCHIVES) for name in lower):
        yield "Unpack the archive."
    if any(RECORDS.search(name) for name in lower):
        yield (
            "Records are read if TFDS prepared them: --data.name tfds --data.tfds_name FOLDER. "
            f"Otherwise save them as image files: {WHAT}."
        )
    if any(name.endswith(ARRAYS) for name in lower):
        yield f"Save the arrays as image files: {WHAT}."
    yield f"No file is an image ({' '.join(sorted(SUFFIXES))}); {WHAT}."


def _with_annotations(tree: Tree, images: list[str]) -> Iterator[str]:
    """The reason where images have outlines in text files, and no masks."""
    stems = {os.path.splitext(image)[0].rpartition("/")[2] for image in images}
    for suffix, kinds in (
        (".json", _json_kind),
        (".xml", lambda _: "XML of outlines or boxes"),
        (".txt", lambda _: "text files of YOLO"),
    ):
        files = [join(*file) for file in tree.files((suffix,))]
        same = [file for file in files if os.path.splitext(file)[0].rpartition("/")[2] in stems]
        if same or (suffix == ".json" and files):
            kind = kinds(tree.root / (same or files)[0])
            if kind:
                yield (
                    f"The labels are {kind}, and there are no masks. Export masks as image files, "
                    'as CVAT does with "Segmentation mask 1.1", or outlines in COCO\'s JSON.'
                )


def _json_kind(path: Path) -> str:
    """What a JSON file holds, for a message; "" if it does not seem to be about images."""
    try:
        with path.open("rb") as file:
            text = file.read(PEEK)
            file.seek(max(0, os.path.getsize(path) - PEEK))
            text += file.read()
    except OSError:
        return ""
    return "outlines in JSON, as VIA writes them" if b'"regions"' in text else ""


def _nearest(tree: Tree, known: Sequence[Layout]) -> str:
    """The two layouts that are nearest, and what to rename."""
    groups = group_folders(tree)
    suggestions = _suggestions(tree)
    if suggestions:
        texts = [f"{option(candidate)}{_renamed(candidate.layout)}" for candidate in suggestions]
        return (
            f"If these are images and masks, say so: {'; or '.join(texts)}. Folders of splits are "
            "called train, val and test."
        )
    masks = _of_role(groups, "masks")
    images = _of_role(groups, "images") or _of_role(groups, None)
    if masks and not images:
        return (
            f"{_shown_group(masks)} has masks, but there are no images. Add them; CVAT exports "
            'them with "Save images".'
        )
    if masks and images:
        return (
            f"No name in {_shown_group(images)} fits one in {_shown_group(masks)}: "
            f"{_example(tree, images)} and {_example(tree, masks)}, for instance. Give each mask "
            "the name of its image."
        )
    nearest = " or ".join(f"{layout}" for layout in known[:2])
    return (
        f"There are images and no masks, or the names do not tell them apart. Put them into "
        f"folders as in {nearest}, where SPLIT is train, val or test and * is a name that an image "
        "and its mask share; or say where they are with --data.layout."
    )


def _of_role(groups: list[Group], role: str | None) -> Group | None:
    """The largest group of a role."""
    of_role = [group for group in groups if group.role == role]
    return max(of_role, key=lambda group: len(group.members), default=None)


def _shown_group(group: Group) -> str:
    return shown_name(group.text or "the folder itself")


def _example(tree: Tree, group: Group) -> str:
    """The first image file of a group."""
    folder = group.members[0][0]
    names = [name for name in tree.folders[folder] if name.lower().endswith(tuple(SUFFIXES))]
    return shown_name(join(folder, names[0]))


def _suggestions(tree: Tree) -> list[Candidate]:
    """At most two layouts that pair files, whatever the names of their folders say."""
    candidates = candidates_of(tree, group_folders(tree, deeper=True), by_words=False)
    candidates = list(candidates)
    most = max((len(candidate.pairs) for candidate in candidates), default=0)
    best: dict[frozenset[tuple[str, str]], Candidate] = {}
    for candidate in sorted(candidates, key=_unlikely):
        if 2 * len(candidate.pairs) < most:
            continue
        best.setdefault(frozenset(candidate.pairs.items()), candidate)
    return list(best.values())[:2]


def _unlikely(candidate: Candidate) -> tuple[int, int, int, tuple[int, int, int, int, str]]:
    """How suggestions are ordered: by words, then photographs with masks that are none, …"""
    layout = candidate.layout
    words = (_role(layout.images) == "images") + (_role(layout.masks) == "masks")
    image, mask = next(iter(candidate.pairs.items()))
    photo = image.lower().endswith((".jpg", ".jpeg"))
    drawn = not mask.lower().endswith((".jpg", ".jpeg"))
    return -words, -photo - drawn, -len(candidate.pairs), candidate.order


def _role(pattern: Pattern) -> str | None:
    """What the last folder of a pattern is called."""
    return read_name(_last_name(pattern)).role


def _renamed(layout: Layout) -> str:
    """How folders would be renamed so that the layout is found by itself."""
    images, masks = _last_name(layout.images), _last_name(layout.masks)
    clear = _role(layout.images) == "images" and _role(layout.masks) == "masks"
    if not images or not masks or images == masks or clear:
        return ""
    return f", or rename {shown_name(images)} to images and {shown_name(masks)} to masks"


def _last_name(pattern: Pattern) -> str:
    """The last folder of a pattern that can be renamed."""
    names = [
        name for name in pattern.folder.split("/") if name and not re.search(r"SPLIT|\*", name)
    ]
    return names[-1] if names else ""
