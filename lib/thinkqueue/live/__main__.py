"""``python -m thinkqueue.live``: let a real engine be asked, and keep what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thinkqueue.errors import ThinkQueueError, sentence
from thinkqueue.live.experiment import FULL, SMALL, Experiment

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def live(
    folder: Annotated[
        Path, typer.Option(help="Where the tables go; the summary is written beside it.")
    ] = Path("data/results/live"),
    url: Annotated[
        str | None,
        typer.Option(help="An engine that runs already and speaks OpenAI's completions."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A GGUF file, or the name of the model at --url.")
    ] = None,
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="Let --url be another machine.")
    ] = False,
    small: Annotated[bool, typer.Option("--small", help="A miniature of two minutes.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of everything drawn.")] = 2026,
) -> None:
    """Let queries come to a real engine, and hold what happens against what was predicted."""
    try:
        Experiment(
            folder,
            scale=SMALL if small else FULL,
            seed=seed,
            url=url,
            name=model if url and model else "",
            model=Path(model) if model and not url else None,
            elsewhere=elsewhere,
        ).run()
    except (ThinkQueueError, OSError) as error:
        typer.echo(sentence(error) if isinstance(error, OSError) else str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("Interrupted; what was measured whole need not be measured again.", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"The record is whole: {folder}, {folder.with_suffix('.json')}")


if __name__ == "__main__":
    app()
