"""The explorer as a static site, and a server of it on this machine."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hf_vitselect.errors import UsageError
from hf_vitselect.explorer.dashboard import dashboard
from hf_vitselect.explorer.rows import ExploredRows
from hf_vitselect.resume import refuse_other_contents, replace_folder

_ATLAS, _RECORD = "embedding_atlas", "explorer.json"


def refuse_missing_atlas() -> None:
    """Refuse to begin without the package that draws the explorer."""
    if find_spec(_ATLAS) is None:
        raise UsageError(
            "expected the package embedding-atlas, which is not installed; "
            'pip install "hf_vitselect[explore]"'
        )


def refuse_other_folder(folder: str | os.PathLike[str]) -> None:
    """Raise FileExistsError if a folder holds anything but an explorer."""
    refuse_other_contents(Path(folder), _RECORD, "explorer")


def write_site(rows: ExploredRows, folder: str | os.PathLike[str]) -> None:
    """Write a site that needs no server of its own and loads nothing from elsewhere.

    Args:
        rows: Those to explore.
        folder: An earlier explorer there is replaced.

    Raises:
        FileExistsError: If the folder holds anything else.
        UsageError: If embedding-atlas is not installed.
    """
    refuse_missing_atlas()
    refuse_other_folder(folder)
    with replace_folder(Path(folder)) as new, tempfile.TemporaryDirectory() as source:
        # The file's name gets into the site, so it is relative.
        pq.write_table(rows.table, Path(source, "rows.parquet"))
        Path(source, "state.json").write_text(json.dumps(dashboard(rows)))
        # Named in the metadata only: from the flag the package would compute page ranks, for a minute.
        near = {"props": {"data": {"neighbors": "neighbors"}}}
        place = ["--x", "x", "--y", "y", "--export-metadata", json.dumps(near)]
        command = [sys.executable, "-m", f"{_ATLAS}.cli", "rows.parquet", "--text", "conversation"]
        command += ["--image", "image", "--state", "state.json", "--export-application", str(new.resolve())]
        command += place if rows.has_map else ["--disable-projection"]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"embedding-atlas failed: {done.stderr.strip().splitlines()[-1:]}")
        (new / _RECORD).write_text(json.dumps({"rows": rows.table.num_rows, "map": rows.has_map}))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Print no line for each request."""


def serve(folder: str | os.PathLike[str], port: int, ready: Callable[[str], object]) -> None:
    """Serve a site to this machine only, until it is interrupted.

    Args:
        folder: The site.
        port: 0 for any free one.
        ready: Called with the site's address.
    """
    with ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=os.fspath(folder))) as server:
        ready(f"http://127.0.0.1:{server.server_port}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
