"""The help of commands is kept as text, which must be what the parsers say."""

import pytest

from hf_vitselect.cli.command import COMMANDS
from hf_vitselect.cli.help_pages import FOLDER, main, read_help
from hf_vitselect.cli.main import main as run_command
from hf_vitselect.cli.parse import write_help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_of_the_parser(command):
    assert read_help(command) == write_help(command, every_flag=False), (
        "write the help anew: python -m hf_vitselect.cli.help_pages"
    )


def test_help_is_written_for_all_commands(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_vitselect.cli.help_pages.FOLDER", tmp_path)
    main()
    assert (
        {path.stem for path in tmp_path.iterdir()} == {path.stem for path in FOLDER.iterdir()} == {*COMMANDS}
    )


def test_help_all_explains_trls_flags(capsys):
    assert run_command(["train", "--help_all"]) == 0
    assert "  --weight_decay " in capsys.readouterr().out
    assert run_command(["train", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--weight_decay" not in text
    assert "--learning_rate" in text


@pytest.mark.parametrize(("command", "name"), [("explore", "FOLDER"), ("export", "SELECTION")])
def test_positional_has_no_dashes(command, name):
    text = read_help(command)
    assert f"usage: hf-vitselect {command} {name} [flags]\n" in text
    assert f"\n  {name}  " in text
    assert f"--{name.lower()}" not in text
