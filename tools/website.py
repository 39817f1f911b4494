"""What MkDocs calls while it builds the site (`hooks` of mkdocs.yml).

Documents outside `docs/` become pages of it, links among all of them go on working, a link to a file that is no page
becomes its name, and Mermaid draws the diagrams here rather than in the reader's browser: nothing is fetched, and a
diagram that it cannot read is an error.
"""

import base64
import os.path
import re
from hashlib import sha256
from pathlib import Path

import mermaidx
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.documents import OUTSIDE, ROOT, Link, rewritten

DRAWN = ROOT / ".cache" / "diagrams"
"""What was drawn before, by the hash of its source: each takes a second."""

_FETCHED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)")
_DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Take the documents outside `docs/` in."""
    for document in OUTSIDE:
        text = (ROOT / document).read_text(encoding="utf-8")
        files.append(File.generated(config, _page(document), content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  MkDocs names them
    """The page as the site has it."""
    document = _document(page.file.src_uri)

    def written(link: Link) -> str:
        return _link(link, page.file.src_uri, files)

    return _DIAGRAM.sub(lambda found: _image(found[1], document), rewritten(markdown, document, written))


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001  MkDocs names them
    """The page as it is written: everything that a browser loads for it is beside it."""
    if fetched := _FETCHED.findall(output):
        raise PluginError(f"{page.file.src_uri} would fetch {', '.join(fetched)}")
    return output


def _page(document: str) -> str:
    """Where a document of the checkout is in the site."""
    return "index.md" if document == "README.md" else document.removeprefix("docs/")


def _document(page: str) -> str:
    """Where a page of the site is in the checkout."""
    return next((document for document in OUTSIDE if _page(document) == page), f"docs/{page}")


def _link(link: Link, page: str, files: Files) -> str:
    target = _page(link.path)
    if files.get_file_from_path(target) is not None:
        fragment = f"#{link.fragment}" if link.fragment else ""
        return f"[{link.text}]({os.path.relpath(target, Path(page).parent)}{fragment})"
    if not (ROOT / link.path).exists():
        raise PluginError(f"{_document(page)} links to {link.path}, which does not exist")
    return link.text if link.path in link.text else f"{link.text} (`{link.path}`)"


def _image(source: str, document: str) -> str:
    drawn = DRAWN / f"{sha256(source.encode()).hexdigest()}.svg"
    if not drawn.is_file():
        try:
            svg = mermaidx.render(source).svg()
        except RuntimeError as error:
            raise PluginError(f"a diagram of {document} cannot be drawn: {error}") from None
        drawn.parent.mkdir(parents=True, exist_ok=True)
        drawn.write_text(svg, encoding="utf-8")
    data = base64.b64encode(drawn.read_bytes()).decode()
    return f'<img alt="diagram" src="data:image/svg+xml;base64,{data}">'
