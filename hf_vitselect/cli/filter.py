"""`filter`: drop rows of a scored pool."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hf_vitselect.call_text import parse_call, read_call, write_call
from hf_vitselect.cli.command import Command, PoolFacts
from hf_vitselect.cli.flags import PoolFlags, flag, read_object
from hf_vitselect.cli.pool import read_pool, refuse_pools_folder
from hf_vitselect.cli.summary import Summary, command_line
from hf_vitselect.data.columns import refuse_missing
from hf_vitselect.filters import FILTERS, Filter
from hf_vitselect.selection.filter_pool import FilteredPool, filter_pool, refuse_non_filtered_pool
from hf_vitselect.selection.method import CleanBalanced
from hf_vitselect.selection.question_kinds import QuestionKinds

_SHOWN = 3  # rows of each filter


@dataclass(kw_only=True)
class FilterRows(PoolFlags, Command):
    """Drop rows of a pool by filters and save both parts."""

    output_dir: str = flag("Where the rows that stay (dataset) and go (dropped) are written.", "filtered")
    filters: list[str] = flag(
        f"In order, such as 'NearDuplicates(cosine=0.9)': some of {', '.join(FILTERS)}.",
        [write_call(each) for each in CleanBalanced().filters],
    )
    kinds: str = flag(
        "Groups of rows for filters that go by kind: QuestionKinds(), or a column.", "QuestionKinds()"
    )
    by: str | None = flag("The score column; necessity if the pool has it.", None)
    over: str = flag("The column of CLIP embeddings, used if ClipEmbedding has made it.", "embedding")
    example = (
        "--dataset_name demo/score/scored --filters 'UnusedImage()' 'NearDuplicates()' --output_dir filtered"
    )

    @cached_property
    def chosen_filters(self) -> list[Filter]:
        """The filters that the flags name, read once."""
        return [read_object("filters", text, FILTERS) for text in self.filters]

    @cached_property
    def chosen_kinds(self) -> QuestionKinds | str:
        """The kinds, or a column."""
        if self.kinds.partition("(")[0].strip() != QuestionKinds.__name__:
            return self.kinds
        kinds: QuestionKinds = read_object("kinds", self.kinds, {QuestionKinds.__name__: QuestionKinds})
        return kinds

    def check(self) -> None:
        """Refuse filters, kinds or an output folder that cannot be used."""
        _ = self.chosen_filters, self.chosen_kinds  # refuses wrong ones
        refuse_non_filtered_pool(Path(self.output_dir))
        refuse_pools_folder(self, self.output_dir)

    def check_inputs(self, pool: PoolFacts | None) -> None:
        """Refuse a pool without the columns that are named."""
        if pool is not None:
            named = [self.by, self.chosen_kinds]
            refuse_missing(
                [name for name in named if isinstance(name, str)], pool.columns, "expected the column"
            )

    def run(self) -> Summary:
        """Filter and save."""
        pool = read_pool(self)
        filtered = filter_pool(pool, self.chosen_filters, kinds=self.chosen_kinds, by=self.by, over=self.over)
        filtered.save_to_disk(self.output_dir)
        facts = {
            "rows": f"{len(pool):,}",
            "stay": f"{len(filtered.dataset):,}",
            "dropped": f"{len(filtered.dropped):,}",
            "unscored": f"{filtered.unscored:,} rows stay unseen" if filtered.unscored else None,
            "saved to": self.output_dir,
        }
        select_line = command_line("select", dataset_name=self.output_dir, budget="0.15")
        return Summary(facts, [select_line], _text(filtered))


def _text(filtered: FilteredPool) -> str:
    """List what each filter dropped, with the reasons of its first rows."""
    lines, start = [], 0
    for record in filtered.records:
        name = parse_call(record.filter).name
        if record.skipped is not None:
            lines.append(f"{name}: skipped, {record.skipped}")
            continue
        basis = read_call(record.filter, FILTERS).describe(record.thresholds)
        lines.append(f"{name}: {record.dropped:,} rows" + (f"; {basis}" if basis else ""))
        shown = filtered.dropped.select_columns(["dropped_reason"])[
            start : start + min(_SHOWN, record.dropped)
        ]
        lines += [f"  {reason}" for reason in shown["dropped_reason"]]
        lines += ["  ..."] * (record.dropped > _SHOWN)
        start += record.dropped
    return "\n".join(lines)
