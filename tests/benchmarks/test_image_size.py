"""The benchmark of smaller images, rehearsed on pools that teach nothing."""

import pytest
from rehearsal import rehearse


@pytest.mark.slow
def test_sizes_are_measured_and_shown(tmp_path):
    (line,), rows = rehearse("image_size.py", tmp_path, "image size: picks")
    whole, *smaller, _ = line["sizes"]
    assert (whole["tokens"], whole["picks"]["15%"]) == (36, 1)
    assert [size["tokens"] for size in smaller] == [25, 16, 9]
    assert all(size["necessity"]["largest difference"] > 0 for size in smaller)
    assert len(rows) == 5
