"""`bookwheel config`: the settings that are in force."""

from bookwheel.cli.console import out
from bookwheel.cli.options import ConfigOption, DataDirOption, SetOption, read_settings
from bookwheel.settings import settings_as_toml


def config(config: ConfigOption = None, data_dir: DataDirOption = None, assignments: SetOption = None) -> None:
    """Print the settings in force, as TOML; secrets are masked."""
    out.print(settings_as_toml(read_settings(config, data_dir, assignments)), markup=False, end="")
