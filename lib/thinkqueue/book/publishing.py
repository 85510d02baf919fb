"""What follows from the one setting that holds the book's public address."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


def pages_address(repository: str) -> str:
    """Return where a public forge serves the pages of a repository; empty without a repository.

    Parameters
    ----------
    repository
        The address of the repository, such as ``https://github.com/OWNER/NAME``.

    Raises
    ------
    ValueError
        If the address does not name a host, an owner and a repository.
    """
    if not repository:
        return ""
    address = urlsplit(repository)
    owner, _, name = address.path.strip("/").removesuffix(".git").partition("/")
    if address.scheme != "https" or not (address.hostname and owner and name):
        message = f"public_repository must look like https://HOST/OWNER/NAME, not {repository!r}"
        raise ValueError(message)
    host = address.hostname.removesuffix(".com") + ".io"
    return f"https://{owner.lower()}.{host}/{name}/"


def theme_options(repository: str) -> tuple[dict[str, Any], str]:
    """Return the theme's options and the base address of the pages.

    Parameters
    ----------
    repository
        The address of the repository; while it is empty, every button that needs it is off.
    """
    known = bool(repository)
    options: dict[str, Any] = {
        "use_repository_button": known,
        "use_edit_page_button": known,
        "use_issues_button": known,
    }
    if known:
        options |= {
            "repository_url": repository.rstrip("/").removesuffix(".git"),
            "repository_branch": "main",
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "notebook_interface": "jupyterlab",
            },
        }
    return options, pages_address(repository)
