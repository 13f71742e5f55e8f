"""Explore a scored pool or a selection in a browser: map, images, scores, outcomes, cross-filtered.

The site is built by the package `embedding-atlas`, of the extra `explore`.
"""

from hf_vitselect.explorer.rows import explored_rows
from hf_vitselect.explorer.site import serve, write_site
from hf_vitselect.explorer.space import push_space

__all__ = ["explored_rows", "push_space", "serve", "write_site"]
