"""What the page builder must know of this book; it also holds for plain ``jupyter-book build .``.

* Outputs in the cache are dropped when the library, the data or the lock changed, and the pages
  are read anew.
* MathJax comes out of an installed package, so that pages ask nothing of another host; what of
  the theme no page needs is taken away, down to its rules and icons.
* Each page can be downloaded as text and as executed notebook.
* Buttons that lead to the public repository appear when its address is set.
* A shared link shows the first figure of the first page.
* Figures come in two renderings, for the light page and for the dark one, and as files to cite;
  their code stands below them.
* The first page has its explorer, and the code of a page can stand in one fold; the numbers of an
  answer stand in the answer, which opens at one click.
* The library reference lists every public module; the manifest says on what the book was computed.
"""

from __future__ import annotations

import html
import json
import pkgutil
import re
import shutil
from copy import deepcopy
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from thinkqueue.book import docstrings, fingerprint
from thinkqueue.book.accessible import accessible
from thinkqueue.book.answers import JoinAnswers
from thinkqueue.book.building import WHOLE
from thinkqueue.book.cache import OutputCache
from thinkqueue.book.citing import bibtex
from thinkqueue.book.execution import has_code, read_notebook
from thinkqueue.book.explorer import ExplorerDirective, load_explorer
from thinkqueue.book.figure_files import dressed, write_figure_files, write_shared_picture
from thinkqueue.book.figures import FIGURE_FILES, SHARED
from thinkqueue.book.layout import Book
from thinkqueue.book.listings import data_sections, module_index, module_sections
from thinkqueue.book.manifest import manifest
from thinkqueue.book.numerals import typeset
from thinkqueue.book.page_code import FoldCode, PageCode, PageCodeDirective, PlaceCode
from thinkqueue.book.publishing import theme_options
from thinkqueue.book.slim import slim

_MATHJAX = "tex-svg-full.js"
_SOURCE_LINK = re.compile(r'(<a href="[^"]*_sources/[^"]*")(?! download)')
# the style sheet draws the same icons out of a font a tenth as heavy
_ICON_SCRIPT = re.compile(r'\s*<script src="[^"]*scripts/fontawesome\.js[^"]*"></script>')
# before anything is drawn or fetched it is known whether the page is light or dark
_THEME = re.compile(r'(dataset\.theme = )localStorage\.getItem\("theme"\) \|\| "auto";')
_KNOWN_THEME = (
    r'\1{dark: "dark", light: "light"}[document.documentElement.dataset.mode]'
    ' || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");'
)
# code in markup is what a strict Content-Security-Policy forbids first; book.js calls it instead
_HANDLER = re.compile(r' onclick="(?:window\.)?(print|toggleFullScreen)\(\)"')
# no line begins with what belongs to the formula before it, or ends with what opens the next one
_BOUND = re.compile(
    r'[(\[“‘]*<span class="math notranslate nohighlight">[^<]*</span>[.,;:!?)\]”’…]+'
    r'|[(\[“‘]+<span class="math notranslate nohighlight">[^<]*</span>'
)
_SHARED = "_static/shared.png"
_MODULES = "<!-- every public module -->"
_PART = re.compile(r"<!-- the public modules of (\w+) -->")
_ENTRY = "<!-- the entry for a bibliography -->"
_FIELDS = "<!-- every field of the data -->"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx.

    Parameters
    ----------
    app
        The application.
    """
    app.add_config_value("public_repository", "", "html", str)
    app.add_directive("book-manifest", ManifestDirective)
    app.add_node(ManifestPlaceholder)
    app.add_directive("explorer", ExplorerDirective)
    app.add_directive("page-code", PageCodeDirective)
    app.add_node(PageCode)
    app.add_post_transform(JoinAnswers)
    app.add_post_transform(FoldCode)
    app.add_post_transform(PlaceCode)
    app.connect("config-inited", configure, priority=100)
    app.connect("builder-inited", begin, priority=100)
    app.connect("env-get-outdated", outdated_pages)
    app.connect("env-updated", pages_with_manifest)
    app.connect("env-check-consistency", draw_shared_picture)
    docstrings.connect(app)
    app.connect("source-read", write_listings)
    app.connect("missing-reference", find_where_defined)
    app.connect("doctree-resolved", fill_manifests)
    app.connect("doctree-resolved", set_numbers)
    app.connect("html-page-context", offer_notebook, priority=400)
    app.connect("html-page-context", load_explorer)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", drop_unused_scripts, priority=900)
    app.connect("build-finished", finish)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}


def configure(app: Sphinx, config: Config) -> None:
    """Place the cache, name the packaged MathJax and turn on what the public address allows.

    Parameters
    ----------
    app, config
        The application and its settings.
    """
    book = Book(Path(app.srcdir))
    cache = OutputCache(book)
    for page in book.pages:
        notebook = read_notebook(book, page)
        if notebook is not None and cache.find(notebook) is None and not has_code(notebook):
            # nothing to execute, and no kernel started to find that out
            cache.store(notebook, str(book.source(page)), 0.0)
    config["nb_execution_cache_path"] = str(book.cache)
    config["mathjax_path"] = f"mathjax/{_MATHJAX}"
    options, base_url = theme_options(config["public_repository"])
    config["html_theme_options"] = {**config["html_theme_options"], **options}
    config["html_baseurl"] = base_url


def begin(app: Sphinx) -> None:
    """Take the mark of a whole book away before pages are written.

    Parameters
    ----------
    app
        The application.
    """
    Path(app.outdir, WHOLE).unlink(missing_ok=True)


def outdated_pages(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Have every page read anew when library, data or lock changed since the last build.

    Parameters
    ----------
    app, env, added, changed, removed
        As Sphinx gives them.
    """
    current = fingerprint.computation(Book(Path(app.srcdir)))
    if getattr(env, "thinkqueue_computation", None) == current:
        return []
    env.thinkqueue_computation = current  # type: ignore[attr-defined]
    return sorted(env.found_docs - removed)


def write_listings(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace the marks for listings in a page's text by what they list.

    Parameters
    ----------
    app, page, source
        As Sphinx gives them.
    """
    if _MODULES in source[0]:
        source[0] = source[0].replace(_MODULES, module_index())
    source[0] = _PART.sub(lambda mark: module_sections(mark[1]), source[0])
    if _ENTRY in source[0]:
        entry = f"```bibtex\n{bibtex(Book(Path(app.srcdir)))}```"
        source[0] = source[0].replace(_ENTRY, entry)
    if _FIELDS in source[0]:
        source[0] = source[0].replace(_FIELDS, data_sections(Book(Path(app.srcdir))))


def find_where_defined(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Lead a reference to a name that a package exports to the module that defines it.

    Parameters
    ----------
    app, env, node, content
        As Sphinx gives them.
    """
    named = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or not named.startswith("thinkqueue.") or "refdoc" not in node:
        return None
    try:
        thing = pkgutil.resolve_name(named)
        target = f"{thing.__module__}.{thing.__qualname__}"
    except (ImportError, AttributeError):
        return None
    domain, page = env.get_domain("py"), str(node["refdoc"])
    return domain.resolve_xref(env, page, app.builder, str(node["reftype"]), target, node, content)


class ManifestPlaceholder(nodes.General, nodes.Element):
    """Stands for the manifest until all pages are read."""


class ManifestDirective(SphinxDirective):
    """State versions, run times, hashes and machine of this build."""

    def run(self) -> list[nodes.Node]:
        """Leave a placeholder, since run times are not known before all pages are read."""
        pages: set[str] = getattr(self.env, "thinkqueue_manifest_pages", set())
        self.env.thinkqueue_manifest_pages = {*pages, self.env.docname}  # type: ignore[attr-defined]
        return [ManifestPlaceholder()]


def pages_with_manifest(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Have the pages with a manifest written in every build.

    Parameters
    ----------
    app, env
        As Sphinx gives them.
    """
    return sorted(getattr(env, "thinkqueue_manifest_pages", set()) & env.found_docs)


def fill_manifests(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Replace placeholders by tables.

    Parameters
    ----------
    app, doctree, page
        As Sphinx gives them.
    """
    placeholders = list(doctree.findall(ManifestPlaceholder))
    if not placeholders:
        return
    content = manifest(Book(Path(app.srcdir)))
    machine, sha256 = content["machine"], content["sha256"]
    computed = [
        ("Machine", f"{machine['processor']}, {machine['cores']} cores"),
        ("System", machine["system"]),
        ("Revision", content["revision"] or "not a checkout"),
        *((f"SHA-256 of {name}", digest[:16] + "…") for name, digest in sha256.items()),
    ]
    times = [
        (app.env.titles[name].astext(), f"{seconds:.1f} s") for name, seconds in _run_times(app.env)
    ]
    tables = [
        _table(("Of this build", "Value"), computed),
        _table(("Chapter", "Run time"), times),
        _table(("Package", "Version"), content["versions"].items()),
    ]
    for placeholder in placeholders:
        placeholder.replace_self([table.deepcopy() for table in tables])


def set_numbers(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Set the numbers that sentences state in the book's numerals.

    Parameters
    ----------
    app, doctree, page
        As Sphinx gives them.
    """
    for stated in doctree.findall(nodes.inline):
        if "pasted-text" in stated["classes"]:
            stated[:] = [nodes.Text(typeset(stated.astext()))]


def _run_times(env: BuildEnvironment) -> list[tuple[str, float]]:
    metadata = getattr(env, "nb_metadata", {})
    found = ((name, data.get("exec_data") or {}) for name, data in sorted(metadata.items()))
    return [(name, data["runtime"]) for name, data in found if data.get("runtime")]


def _table(head: tuple[str, str], rows: Any) -> nodes.table:
    def row(cells: tuple[str, str]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", str(cell))) for cell in cells))

    group = nodes.tgroup(
        "",
        nodes.colspec(colwidth=40),
        nodes.colspec(colwidth=60),
        nodes.thead("", row(head)),
        nodes.tbody("", *(row(cells) for cells in rows)),
        cols=2,
    )
    return nodes.table("", group)


def draw_shared_picture(app: Sphinx, env: BuildEnvironment) -> None:
    """Put the first figure of the first page where a shared link shows it, if there is one.

    Parameters
    ----------
    app, env
        As Sphinx gives them.
    """
    book = Book(Path(app.srcdir))
    notebook = executed_notebook(book, book.pages[0])
    target = Path(app.outdir, _SHARED)
    env.thinkqueue_shared = (  # type: ignore[attr-defined]
        notebook is not None and write_shared_picture(target, notebook)
    )


def offer_notebook(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put the executed notebook beside the page's text and into its download menu.

    Parameters
    ----------
    app, page, template, context, doctree
        As Sphinx gives them.
    """
    executed = Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"
    if doctree is None or not executed.is_file():
        return
    target = Path(app.outdir, "_sources", f"{page}.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    done = executed_notebook(Book(Path(app.srcdir)), page)
    target.write_text(_offered(executed, done), encoding="utf-8")
    context["ipynb_source"] = f"{page}.ipynb"


def executed_notebook(book: Book, page: str) -> Any | None:
    """Return a page with its outputs, if it is a notebook that was executed.

    Parameters
    ----------
    book
        The book.
    page
        One of its pages.
    """
    notebook = read_notebook(book, page)
    return None if notebook is None else OutputCache(book).find(notebook)


def _offered(notebook: Path, done: Any | None) -> str:
    """Fill in the outputs, and number the cells, which are called anew each time one is made.

    The files of figures lie beside the pages.
    """
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for number, cell in enumerate(content["cells"]):
        cell["id"] = f"cell-{number}"
        if done is not None and cell["cell_type"] == "code":
            cell["execution_count"] = done.cells[number].execution_count
            cell["outputs"] = deepcopy(done.cells[number].outputs)
            for output in cell["outputs"]:
                output.get("metadata", {}).pop(FIGURE_FILES, None)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def describe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Say what a page is about where a link to it is shown: title, first paragraph, a picture.

    The picture has its full address where the book has one. Until then its address starts from the
    page, which not everybody who shows links understands.

    Parameters
    ----------
    app, page, template, context, doctree
        As Sphinx gives them.
    """
    if doctree is None:
        return
    title, said = app.env.titles[page].astext(), first_words(doctree)
    tags = {
        'name="description"': said,
        'property="og:type"': "article",
        'property="og:site_name"': str(app.config.html_title),
        'property="og:title"': title,
        'property="og:description"': said,
        'name="twitter:card"': "summary",
    }
    if getattr(app.env, "thinkqueue_shared", False):
        base = str(app.config.html_baseurl)
        across, down = SHARED
        tags |= {
            'property="og:image"': base + _SHARED if base else context["pathto"](_SHARED, 1),
            'property="og:image:width"': str(across),
            'property="og:image:height"': str(down),
            'name="twitter:card"': "summary_large_image",
        }
    lines = [f'<meta {name} content="{html.escape(text)}" />' for name, text in tags.items()]
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines]) + "\n"


def first_words(doctree: nodes.document, most: int = 200) -> str:
    """Return the beginning of the first paragraph, cut after a word.

    Parameters
    ----------
    doctree
        The page.
    most
        The most letters.
    """
    for paragraph in doctree.findall(nodes.paragraph):
        words = " ".join(paragraph.astext().split())
        if isinstance(paragraph.parent, nodes.section) and len(words) > 20:
            return words if len(words) <= most else words[: most - 1].rsplit(" ", 1)[0] + "…"
    return ""


def drop_unused_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Leave out what would run cells at a server of another host; loaded twice, it even fails.

    Parameters
    ----------
    app, page, template, context, doctree
        As Sphinx gives them.
    """
    for kind in ("script_files", "css_files"):
        context[kind] = [
            file
            for file in context[kind]
            if "thebe" not in f"{file} {getattr(file, 'attributes', '')}".lower()
        ]


def finish(app: Sphinx, error: Exception | None) -> None:
    """Add MathJax and the manifest to the finished pages; let downloads be downloads; mend markup.

    Parameters
    ----------
    app, error
        As Sphinx gives them.
    """
    if error is not None:
        return
    book = Book(Path(app.srcdir))
    OutputCache(book).seal()
    if app.builder.format != "html":
        return
    package = distribution("sphinx-mathjax-offline")
    script = package.locate_file(f"sphinx-mathjax-offline/static/mathjax/{_MATHJAX}")
    target = Path(app.outdir, "_static", "mathjax", _MATHJAX)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(str(script), target)
    images = Path(app.outdir, "_images")
    if app.builder.name == "html":  # paper is white
        done = (executed_notebook(book, page) for page in book.pages)
        write_figure_files(images, (notebook for notebook in done if notebook is not None))
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        text = _ICON_SCRIPT.sub("", _SOURCE_LINK.sub(r"\1 download", text))
        text = _BOUND.sub(r'<span class="bound">\g<0></span>', text)
        text = accessible(_HANDLER.sub(r' data-calls="\1"', text))
        text = _THEME.sub(_KNOWN_THEME, text)
        if app.builder.name == "html":
            text = dressed(text, images)
        path.write_text(text, encoding="utf-8")
    for file in Path(app.outdir, "_static", "scripts").glob("*"):
        if file.suffix == ".map" or file.name.startswith("fontawesome"):
            file.unlink()
    if app.builder.name == "html":
        slim(Path(app.outdir), (book.root / "chapters" / "_static").glob("*.css"))
    content = manifest(Book(Path(app.srcdir)))
    content["run_seconds"] = dict(_run_times(app.env))
    text = json.dumps(content, indent=1) + "\n"
    Path(app.outdir, "manifest.json").write_text(text, encoding="utf-8")
