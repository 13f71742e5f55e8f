"""`push`: pushes a selection and its card to the Hub."""

from dataclasses import dataclass
from typing import Literal

from hf_vitselect.cli.command import Command
from hf_vitselect.cli.flags import SelectionFlags, flag
from hf_vitselect.cli.pool import load_selection
from hf_vitselect.cli.summary import Summary, train_line
from hf_vitselect.hub import check_target, push_to_hub


@dataclass(kw_only=True)
class PushFlags(SelectionFlags):
    """The flags of `push`."""

    repo_id: str = flag("The data set repository, owner/name.")
    private: bool | None = flag("Whether a new repository is private.", None)
    publish: Literal["rows", "indices"] = flag(
        "'rows', or 'indices' for pools that may not be redistributed.", "rows"
    )
    revision: str | None = flag("A branch to push to; main if not set.", None)
    create_pr: bool = flag("Whether to push to a pull request.", False)
    run_dir: str | None = flag("The run that made the selection; the card shows its settings and cost.", None)


@dataclass
class Push(Command):
    """Pushes a selection, and records in its folder where to."""

    flags: PushFlags
    example = "--selection demo/selection --repo_id me/vitselect-demo"

    def check(self) -> None:
        """Refuses a repository id that the Hub does not allow."""
        check_target(self.flags.repo_id, self.flags.publish)

    def run(self) -> Summary:
        """Pushes."""
        flags, selection = self.flags, load_selection(self.flags.selection)
        address = push_to_hub(
            selection,
            flags.repo_id,
            publish=flags.publish,
            private=flags.private,
            revision=flags.revision,
            create_pr=flags.create_pr,
            run=flags.run_dir,
        )
        selection.save_recipe(flags.selection)
        only = ", only their ids and scores" if flags.publish == "indices" else ""
        facts = {"rows": f"{len(selection):,}{only}", "pushed to": address}
        return Summary(facts, [train_line(flags.selection)])


COMMAND = Push
