"""``python -m thinkqueue.book``: build the book, or renew the values that it is held to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from thinkqueue.book.building import BookError, build, print_pdf, renew_picture, renew_reference
from thinkqueue.book.execution import CellError
from thinkqueue.book.layout import Book
from thinkqueue.book.publishing import pages_address

app = typer.Typer(add_completion=False, help=__doc__)
Root = Annotated[Path, typer.Option(help="The folder with _config.yml.", exists=True)]


@app.command("build")
def build_command(root: Root = Path()) -> None:
    """Execute what changed, hold the stated values and build the pages."""
    try:
        page = build(Book(root.resolve()), Console(stderr=True))
    except (BookError, CellError, FileNotFoundError, ValueError) as error:
        _fail(error)
    typer.echo(f"The book is ready: {page.as_uri()}")


@app.command("reference")
def reference_command(root: Root = Path()) -> None:
    """Accept what the chapters state now, and print how it differs from before."""
    try:
        differences = renew_reference(Book(root.resolve()), Console(stderr=True))
    except (BookError, CellError, FileNotFoundError, ValueError) as error:
        _fail(error)
    for difference in differences:
        typer.echo(str(difference))
    typer.echo(f"{len(differences)} values changed in data/reference/.")


@app.command("picture")
def picture_command(root: Root = Path()) -> None:
    """Renew the picture in the README from the first figure of the first chapter."""
    book = Book(root.resolve())
    try:
        build(book, Console(stderr=True))
        path = renew_picture(book)
    except (BookError, CellError, FileNotFoundError, ValueError) as error:
        _fail(error)
    typer.echo(f"Wrote {path.relative_to(book.root)}.")


@app.command("pdf")
def pdf_command(root: Root = Path()) -> None:
    """Print the whole book into one PDF."""
    book = Book(root.resolve())
    try:
        build(book, Console(stderr=True))
        path = print_pdf(book)
    except (BookError, CellError, FileNotFoundError, ValueError) as error:
        _fail(error)
    typer.echo(f"The book is printed: {path.as_uri()}")


@app.command("public")
def public_command(root: Root = Path()) -> None:
    """Say whether the book has a public address, in the form that a workflow reads."""
    settings = Book(root.resolve()).config["sphinx"]["config"]
    typer.echo(f"set={'true' if pages_address(settings['public_repository']) else 'false'}")


def _fail(error: Exception) -> NoReturn:
    if isinstance(error, CellError):
        typer.echo(error.details, err=True)
    typer.echo(str(error), err=True)
    raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
