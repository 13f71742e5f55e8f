"""`push`: push a selection and its card to the Hub."""

from dataclasses import dataclass
from typing import Literal

from hf_vitselect.cli.command import Command
from hf_vitselect.cli.flags import SelectionFlags, flag
from hf_vitselect.cli.pool import load_selection
from hf_vitselect.cli.summary import Summary, train_line
from hf_vitselect.hub import check_target, push_to_hub


@dataclass(kw_only=True)
class Push(SelectionFlags, Command):
    """Push a selection, and record the repository in its folder."""

    repo_id: str = flag("The data set repository, owner/name.")
    private: bool | None = flag("Whether a new repository is private.", None)
    publish: Literal["rows", "indices"] = flag(
        "'rows', or 'indices' for pools that may not be redistributed.", "rows"
    )
    revision: str | None = flag("A branch to push to; main if not set.", None)
    create_pr: bool = flag("Whether to push to a pull request.", False)
    run_dir: str | None = flag("The run that made the selection; the card shows its settings and cost.", None)
    example = "--selection demo/selection --repo_id me/vitselect-demo"

    def check(self) -> None:
        """Refuse a repository id that the Hub does not allow."""
        check_target(self.repo_id, self.publish)

    def run(self) -> Summary:
        """Push the selection."""
        selection = load_selection(self.selection)
        address = push_to_hub(
            selection,
            self.repo_id,
            publish=self.publish,
            private=self.private,
            revision=self.revision,
            create_pr=self.create_pr,
            run=self.run_dir,
        )
        selection.save_recipe(self.selection)
        only = ", only their ids and scores" if self.publish == "indices" else ""
        facts = {"rows": f"{len(selection):,}{only}", "pushed to": address}
        return Summary(facts, [train_line(self.selection)])
