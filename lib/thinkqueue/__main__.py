"""``python -m thinkqueue``: the command line where its script is not installed."""

from thinkqueue.cli import app

if __name__ == "__main__":
    app(prog_name="thinkqueue")
