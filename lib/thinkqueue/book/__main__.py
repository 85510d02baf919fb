"""``python -m thinkqueue.book``: build the book, or renew the values that it is held to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from thinkqueue.book.archiving import archive
from thinkqueue.book.browser import browser
from thinkqueue.book.building import build, renew_picture, renew_reference
from thinkqueue.book.citing import bibtex, zenodo
from thinkqueue.book.execution import CellError
from thinkqueue.book.layout import Book, BookError
from thinkqueue.book.printing import print_pdf
from thinkqueue.book.publishing import pages_address
from thinkqueue.errors import needing, sentence
from thinkqueue.executors import cluster
from thinkqueue.files import write_atomically

FAILED, INTERRUPTED = 1, 130

app = typer.Typer(
    add_completion=False,
    help="Build the book, or renew the values that it is held to.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="A Dask scheduler whose workers see this folder and execute."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(metavar="COUNT", min=1, help="How many chapters are executed at a time."),
]
Root = Annotated[Path, typer.Option(help="The folder with _config.yml.", exists=True)]


@app.command("build")
def build_command(
    root: Root = Path(), scheduler: Scheduler = None, workers: Workers = None
) -> None:
    """Build the pages. What changed is executed, and what is stated is held to the reference."""
    with kind_exit(), nullcontext() if scheduler is None else cluster(scheduler) as executor:
        page = build(Book(root.resolve()), Console(stderr=True), workers=workers, executor=executor)
        typer.echo(f"The book is ready: {page.as_uri()}")


@app.command("reference")
def reference_command(root: Root = Path()) -> None:
    """Accept values and data as they are now. All that differs is printed first."""
    with kind_exit():
        values, files = renew_reference(
            Book(root.resolve()), Console(stderr=True), lambda line: typer.echo(line)
        )
        typer.echo(f"Accepted: {values} values and {files} files that changed.")


@app.command("picture")
def picture_command(root: Root = Path()) -> None:
    """Renew the picture in the README. It is the first figure of the first chapter."""
    book = Book(root.resolve())
    with kind_exit():
        build(book, Console(stderr=True))
        path = renew_picture(book)
        typer.echo(f"Wrote {path.relative_to(book.root)}.")


@app.command("pdf")
def pdf_command(root: Root = Path()) -> None:
    """Print the whole book into one PDF. A Chromium does it, installed if there is none."""
    book = Book(root.resolve())
    with kind_exit():
        build(book, Console(stderr=True))
        path = print_pdf(book, browser())
        typer.echo(f"The book is printed: {path.as_uri()}")


@app.command("archive")
def archive_command(root: Root = Path()) -> None:
    """Pack pages, notebooks, PDF, data and lock into one file. It is built and printed first."""
    book = Book(root.resolve())
    with kind_exit():
        build(book, Console(stderr=True))
        print_pdf(book, browser())
        path = archive(book)
        typer.echo(f"The book is packed: {path.as_uri()}, {path.stat().st_size / 1e6:.1f} MB.")


@app.command("citation")
def citation_command(root: Root = Path()) -> None:
    """Renew .zenodo.json after a change of CITATION.cff. The entry for BibTeX is printed."""
    book = Book(root.resolve())
    with kind_exit():
        write_atomically(book.root / ".zenodo.json", zenodo(book))
        typer.echo(bibtex(book), nl=False)


@app.command("browser")
def browser_command() -> None:
    """Find a Chromium, or install one. The pages are tested in it."""
    with kind_exit():
        typer.echo(browser())


@app.command("public")
def public_command(root: Root = Path()) -> None:
    """Say whether the book has an address. The form is that which a workflow reads."""
    with kind_exit():
        settings = Book(root.resolve()).config["sphinx"]["config"]
        typer.echo(f"set={'true' if pages_address(settings['public_repository']) else 'false'}")


@contextmanager
def kind_exit() -> Iterator[None]:
    """End with one sentence and an exit status where something is amiss or somebody stops it."""
    try:
        with needing("book", "The book"):
            yield
    except CellError as error:
        typer.echo(error.details, err=True)
        _fail(str(error), FAILED)
    except (BookError, ValueError) as error:
        _fail(str(error), FAILED)
    except OSError as error:
        _fail(sentence(error), FAILED)
    except KeyboardInterrupt:
        _fail("Interrupted; the chapters that ran through need not run again.", INTERRUPTED)


def _fail(message: str, status: int) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(status)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as polite as Ctrl-C
    app()
