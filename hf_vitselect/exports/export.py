"""The export of a selection to the format of another trainer."""

import os
import shutil
import tempfile
from pathlib import Path

from hf_vitselect.errors import ExportError
from hf_vitselect.exports.base import Format, Target
from hf_vitselect.exports.images import Images, ImageStore
from hf_vitselect.selection.selection import Selection


def export(
    selection: Selection,
    output_dir: str | os.PathLike[str],
    to: Format,
    *,
    name: str = "subset",
    images: Images = "write",
) -> Path:
    """Write the picked rows, in pick order, as a file that another trainer reads.

    Every row is read back before it is written. A row that the format cannot hold is an error that names it:
    no row is dropped or changed, and no file is left.

    Args:
        selection: What to export.
        output_dir: The folder of the file. It may hold other files.
        to: The format, such as `Llava()`.
        name: Of the file, without its suffix; for LLaMA-Factory also of the dataset. The images go to the
            folder `{name}_images`.
        images: `"reference"` names the images by the files where they lie, in place of copies.

    Returns:
        The file; of several shards, the first one.

    Raises:
        ExportError: If the format cannot hold a row, or an image cannot be read or referenced.
        FileExistsError: If a file of this name exists.
        TypeError: If `to` is not a `Format`, for example its name.

    Examples:
        >>> export(selection, "LLaMA-Factory/data", LlamaFactory(), name="llava_15pct")  # doctest: +SKIP
        PosixPath('LLaMA-Factory/data/llava_15pct.json')
    """
    if not isinstance(to, Format):
        raise TypeError(f"to: expected a format, got {to!r}; call export(selection, output_dir, Llava())")
    place = Path(output_dir)
    if not name or Path(name).name != name:
        raise ExportError(f"name: expected a file name without folders and suffix, got {name!r}")
    if images == "reference" and to.holds_images:
        raise ExportError(
            f"images: expected 'write' for {to.name}, whose files hold the images, got {images!r}"
        )
    refuse_existing(place, name)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=place) as temporary:
        folder = Path(temporary)
        store = ImageStore(folder / f"{name}_images", f"{name}_images", images)
        target = Target(folder, place, name, store)
        to.write(selection, target)
        to.settle(target)
        made = sorted(folder.iterdir(), key=Path.is_file)  # images before the files that name them
        for path in made:
            shutil.move(path, place / path.name)
    return min(
        place / path.name for path in made if path.name.endswith(to.suffix) and path.name.startswith(name)
    )


def refuse_existing(place: Path, name: str) -> None:
    """Raise FileExistsError if a folder has files of an earlier export of this name."""
    taken = [*place.glob(f"{name}.*"), *place.glob(f"{name}-*"), *place.glob(f"{name}_images")]
    if taken:
        raise FileExistsError(f"{taken[0]} exists; delete it, or give another name")
