"""Documents name nothing that does not exist, and everything that exists is reachable from README in two clicks."""

import ast
import importlib.util
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import typer
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from localcloud.temporal import find_temporal
from migration.settings import Settings
from starter.cli import app
from tests.deploy.programs import make_targets
from tools.documents import ROOT, blocks, documents, links, prose, text_of
from tools.pages.markdown import anchor
from tools.website import on_files, on_page_markdown

DOCUMENTS = documents()
COMMITTED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
TOP = {name.partition("/")[0] for name in COMMITTED if "/" in name and not name.startswith(".")}


def spans(document: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`\n]+)`", prose(text_of(document)))


def lines(document: str) -> Iterator[str]:
    """Every piece of code: what stands in backticks, and the lines of blocks, those that go on as one."""
    yield from spans(document)
    for block in blocks(text_of(document)):
        yield from block.text.replace("\\\n", " ").splitlines()


# --- links -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    for link in links(document):
        assert (ROOT / link.path).exists(), link
        if link.fragment:
            assert link.fragment in {anchor(heading) for heading in headings(link.path)}, link


def headings(document: str) -> list[str]:
    return [
        line.lstrip("# ").replace("`", "") for line in prose(text_of(document)).splitlines() if line.startswith("#")
    ]


def test_every_document_is_two_clicks_from_the_readme() -> None:
    first = {link.path for link in links("README.md")}
    second = {link.path for one in first if one.endswith(".md") for link in links(one)}
    assert set(DOCUMENTS) - first - second - {"README.md"} == set()


def test_every_folder_of_the_checkout_is_named_by_the_readme() -> None:
    named = [*spans("README.md"), *(link.path for link in links("README.md"))]
    assert {folder for folder in TOP if not any(name.startswith(f"{folder}/") for name in named)} == set()


# --- names -------------------------------------------------------------------------------------------------------

PATHS = re.compile(rf"(?:{'|'.join(sorted(TOP))})/[\w./-]*|[\w-]+\.(?:py|yml|toml|lock)|Makefile")
MADE = {"site/", "bench/results.json", "dist/sbom.cdx.json", "plan.tfplan", "settings.toml"}
"""What a command of ours writes."""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_exists(document: str) -> None:
    here = (ROOT, (ROOT / document).parent, *(ROOT / name for name in ("deploy/terraform", "workflows", "starter")))
    named = {span for span in spans(document) if PATHS.fullmatch(span)} - MADE
    assert {name for name in named if not any((folder / name).exists() for folder in here)} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_target_is_one_of_the_makefile(document: str) -> None:
    named = {word for line in lines(document) for word in re.findall(r"^make ([a-z][a-z-]*)", line)}
    assert named - make_targets() == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_module_that_is_run_exists(document: str) -> None:
    named = {word for line in lines(document) for word in re.findall(r"python -m ([\w.]+)", line)}
    assert {name for name in named if importlib.util.find_spec(name) is None} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_migrator_has_its_options(document: str) -> None:
    for line in lines(document):
        for said in re.findall(r"(?:^|[;|&] *)migrator ([a-z][^|;&#`]*)", line):
            words = re.sub(r"[,']", " ", said).split()
            command = commands().get(words[0]) or commands().get(" ".join(words[:2]))
            assert command, line
            options = {
                option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]
            }
            asked = {word.partition("=")[0] for word in words if re.fullmatch(r"\[?--?[a-z][a-z-]*(?:=.*)?\]?", word)}
            known = options | {"--help"}
            passed_on = command.context_settings.get("ignore_unknown_options", False)
            assert passed_on or {word.strip("[]") for word in asked} <= known, line


@cache
def commands() -> dict[str, Any]:
    """Every command by its words; a group by its own name too."""
    return dict(_below("", typer.main.get_command(app)))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    for word, one in getattr(command, "commands", {}).items():
        yield f"{name} {word}".strip(), one
        yield from _below(f"{name} {word}".strip(), one)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_temporal_has_its_options(document: str) -> None:
    for line in lines(document):
        for said in re.findall(r"(?:^|[;|&] *)temporal ((?:workflow|operator|task-queue|batch|server) [^|;&`]*)", line):
            words = re.sub(r"'[^']*'|\"[^\"]*\"", "VALUE", said).split()
            path = tuple(word for word in words[: _first_option(words)] if re.fullmatch(r"[a-z-]+", word))
            asked = {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}
            assert asked <= temporal_options(path), line


def _first_option(words: list[str]) -> int:
    return next((number for number, word in enumerate(words) if word.startswith("-")), len(words))


@cache
def temporal_options(path: tuple[str, ...]) -> frozenset[str]:
    """What a command of the `temporal` CLI takes, as it says itself."""
    command = [str(find_temporal(print)), *path, "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.search(rf"^Usage:\n  temporal {' '.join(path)} \[", told, re.MULTILINE), path
    return frozenset(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", told))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_setting_exists(document: str) -> None:
    fields = Settings.model_fields
    named = {
        name.lower() for line in lines(document) for name in re.findall(r"\bMIGRATOR_([A-Z][A-Z_]*?)(?:__|\b)", line)
    }
    assert named - {"settings"} - set(fields) == set()
    for block in blocks(text_of(document)):
        if block.language == "toml":
            # Profiles are Temporal's own file.
            assert set(tomllib.loads(block.text)) - set(fields) - {"profile"} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_activity_and_every_metric_is_in_the_code(document: str) -> None:
    said = re.findall(r"activit(?:y|ies) (`\w+`(?:(?:, | and )`\w+`)*)", text_of(document))
    assert {name for names in said for name in re.findall(r"\w+", names.replace(" and ", " "))} - activities() == set()
    metrics = {span for span in spans(document) if re.fullmatch(r"migrator_[a-z_]+", span)}
    without_ending = {re.sub(r"(_seconds)?(_total)?$", "", name) for name in metrics}  # which the exporter adds
    assert {name for name in without_ending if name not in code()} == set()


@cache
def activities() -> frozenset[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "activities").rglob("*.py"))
    functions = (
        one for tree in trees for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return frozenset(
        one.name for one in functions if any("activity.defn" in ast.unparse(d) for d in one.decorator_list)
    )


@cache
def code() -> str:
    folders = ("migration", "activities", "workflows", "starter", "adapters")
    paths = [ROOT / "worker.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


# --- the site ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def config() -> MkDocsConfig:
    config = load_config(str(ROOT / "mkdocs.yml"))
    config.plugins._current_plugin = None  # which hook runs: MkDocs itself sets it when it builds
    return config


def shown(text: str, config: MkDocsConfig) -> str:
    """A page of `docs/` with this text, as the site has it."""
    files = on_files(Files([File(str(path.relative_to(ROOT / "docs")), config.docs_dir, config.site_dir, False)
                            for path in (ROOT / "docs").rglob("*.md")]), config=config)  # fmt: skip
    page = Page(None, File.generated(config, "page.md", content=text), config)
    return on_page_markdown(text, page=page, config=config, files=files)


def test_a_link_to_a_document_outside_docs_leads_to_its_page(config: MkDocsConfig) -> None:
    assert shown("[README](../README.md#two-commands)", config) == "[README](index.md#two-commands)"


def test_a_link_to_a_file_that_is_no_page_becomes_its_name(config: MkDocsConfig) -> None:
    assert shown("[the root](../worker.py)", config) == "the root (`worker.py`)"
    assert shown("[worker.py](../worker.py)", config) == "worker.py"


def test_a_link_to_nothing_is_an_error(config: MkDocsConfig) -> None:
    with pytest.raises(PluginError, match=r"docs/page.md links to nothing.py, which does not exist"):
        shown("[a](../nothing.py)", config)


def test_code_is_shown_as_it_stands(config: MkDocsConfig) -> None:
    text = "```\n[a](../nothing.py)\n```\n"
    assert shown(text, config) == text


def test_a_diagram_that_cannot_be_drawn_is_an_error(config: MkDocsConfig) -> None:
    with pytest.raises(PluginError, match=r"a diagram of docs/page.md cannot be drawn: .*Parse error"):
        shown("```mermaid\nflowchart LR\n  a[b --> c\n```\n", config)
