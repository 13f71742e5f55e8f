"""The benchmark of half precision, rehearsed on pools that teach nothing."""

import pytest
from rehearsal import rehearse


@pytest.mark.slow
def test_dtypes_are_measured_and_shown(tmp_path):
    lines, rows = rehearse("precision.py", tmp_path, "precision: picks", times=2)
    assert [(line["pool"], line["dtype"]) for line in lines] == [
        (pool, dtype) for pool in (1, 2, 3, 4) for dtype in ("bfloat16", "float16")
    ]
    assert all(0 < line["necessity"]["largest difference"] < 1 for line in lines)
    assert all(0 < share <= 1 for line in lines for share in line["picks"].values())
    assert [[cell.strip() for cell in row.split("|")[1:4]] for row in rows] == [
        ["demo", "bfloat16", "4"],
        ["demo", "float16", "4"],
    ]
