"""foxstream: files to Kafka, and how their imports stand.

What takes time to load is loaded where it is used: an import of a small file is over before rich
and openpyxl would be there.
"""

import typer

from producers.commands.check_command import check
from producers.commands.control_commands import cancel, pause, resume
from producers.commands.import_commands import import_, retry
from producers.commands.mapping_commands import mapping
from producers.commands.report_commands import errors, template
from producers.commands.status_commands import list_, status
from schemas.runtime.garbage import collect_rarely

collect_rarely()

app = typer.Typer(
    name="foxstream",
    help="Importe des fichiers dans FOX-Reviews par Kafka, et dit où en sont les imports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# In the order of --help.
app.command("import")(import_)
app.command()(check)
app.command()(status)
app.command("list")(list_)
app.command()(errors)
app.command()(retry)
app.command()(cancel)
app.command()(pause)
app.command()(resume)
app.command()(template)
app.add_typer(mapping, name="mapping")
