"""`explore`: a scored pool or a selection in a browser."""

import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hf_vitselect.cli.command import Command, refuse_unwritable
from hf_vitselect.cli.flags import flag
from hf_vitselect.cli.pool import load_selection, pool_of
from hf_vitselect.cli.summary import Summary
from hf_vitselect.data.pools import load_pool
from hf_vitselect.explorer import explored_rows, push_space, serve, write_site
from hf_vitselect.explorer.projection import Projection
from hf_vitselect.explorer.rows import ExploredRows
from hf_vitselect.explorer.site import refuse_missing_atlas, refuse_other_folder
from hf_vitselect.hub import check_target
from hf_vitselect.selection.selection import Selection


@dataclass(kw_only=True)
class Explore(Command):
    """Write the explorer's site; then serve it, keep it or push it."""

    folder: str = flag("A selection's folder, or a scored pool: a folder, a file or a data set on the Hub.")
    pool: str | None = flag(
        "The pool of the selection; by default the scored one of the same run. Without it only picks show.",
        None,
    )
    rows: int = flag("Rows of a random sample if the pool has more.", 5_000)
    over: str = flag("The column of embeddings, for the map.", "embedding")
    projection: Projection = flag("How embeddings become a map: umap, or pca, which is faster.", "umap")
    export: str | None = flag("Write the site to this folder, and serve nothing.", None)
    push_to_hub: str | None = flag(
        "Push the site to this Space, owner/name: it shows rows of the pool.", None
    )
    private: bool | None = flag("Whether a new Space is private.", None)
    port: int = flag("The port on this machine; any free one if 0.", 0)
    positional: ClassVar[str] = "folder"
    least: ClassVar[dict[str, int]] = {"rows": 2, "port": 0}
    example = "demo/selection --export explorer"

    def check(self) -> None:
        """Refuse a missing extra, an invalid id, or a folder that would be overwritten."""
        refuse_missing_atlas()
        if self.push_to_hub is not None:
            check_target(self.push_to_hub, "rows")
        if self.export is not None:
            refuse_other_folder(self.export)
            refuse_unwritable(self.export)

    def run(self) -> Summary:
        """Write the site, then push or serve it."""
        selection = load_selection(self.folder) if Path(self.folder, "recipe.json").exists() else None
        explored = self._read(selection)
        facts = {
            "rows": f"{explored.table.num_rows:,}",
            "map": "" if explored.has_map else f"none: no embeddings in the column {self.over!r}",
        }
        with tempfile.TemporaryDirectory() as temporary:
            site = self.export or f"{temporary}/site"
            write_site(explored, site)
            if self.push_to_hub is not None:
                published = selection and selection.recipe.published
                dataset = published.repo_id if published else None
                facts["pushed to"] = push_space(site, self.push_to_hub, dataset=dataset, private=self.private)
            elif self.export is None:
                serve(site, self.port, _open_browser)
        return Summary({**facts, "saved to": self.export}, [])

    def _read(self, selection: Selection | None) -> ExploredRows:
        if selection is None:
            pool = load_pool(self.folder)
        else:
            pool = pool_of(selection, self.pool, Path(self.folder).resolve().parent)
        return explored_rows(pool, selection, most=self.rows, over=self.over, projection=self.projection)


def _open_browser(address: str) -> None:
    print(f"serving at {address} until Ctrl+C", flush=True)
    webbrowser.open(address)
