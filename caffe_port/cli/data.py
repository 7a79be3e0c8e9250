"""``caffe-port data``: public data sets, what is known of them, and fetching what may be fetched."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caffe_port.cli.display import Display
from caffe_port.errors import DataError

if TYPE_CHECKING:
    from caffe_port.manifests.records import File, Manifest, Record

_EXAMPLE = "Example: caffe-port data fetch bvlc_alexnet --file bvlc_alexnet.caffemodel --to weights"
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group("data", short_help="Public data sets: list, show, fetch, verify; phantoms.", epilog=_EXAMPLE)
def data() -> None:
    """Public data sets and weights: what is known of them, fetching what is open, verifying what is here.

    Nothing is downloaded but by "fetch". "phantoms" makes procedural data instead.
    """


@data.command("list", epilog="Example: caffe-port data list")
def list_() -> None:
    """List the data sets, what they are for, and how one comes by them."""
    from caffe_port.manifests import load_all

    rows = [("name", "for", "access", "licence", "size")]
    for manifest in load_all():
        keys = ("application", "access", "licence")
        values = [getattr(manifest, key) + (" ?" if key in manifest.unverified else "") for key in keys]
        rows.append((manifest.name, *values, manifest.size))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        click.echo("  ".join(value.ljust(width) for value, width in zip(row, widths)).rstrip())
    click.echo('\n?: unverified. "caffe-port data show NAME" tells what, and everything else that is known.')


@data.command("show", epilog="Example: caffe-port data show cvc-clinicdb")
@click.argument("name", metavar="NAME")
def show(name: str) -> None:
    """Show what is known of the data set NAME; what is unverified is marked so."""
    from caffe_port.manifests import load

    width = min(shutil.get_terminal_size().columns, 120)
    for label, text in _lines(load(name)):
        filled = textwrap.fill(
            text,
            width,
            initial_indent=f"{label:12}  ",
            subsequent_indent=" " * 14,
            break_on_hyphens=False,
            break_long_words=False,  # addresses stay whole
        )
        click.echo(filled)


@data.command("phantoms", epilog="Example: caffe-port data phantoms my-phantoms --patients 8")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--patients", type=int, default=12, show_default=True, help="Patients (exams, videos) of each kind.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws others.")
def phantoms(folder: Path, patients: int, seed: int) -> None:
    """Make procedural data for all four applications of the study: "caffe-port study run all --data DIR".

    They are drawn by formulas: what nets make of them says nothing about patients, and reports on them say so.
    """
    from caffe_port.demo.data import write_phantom_data

    with Display() as display:
        write_phantom_data(folder, patients, seed, display.bar)


@data.command("fetch", epilog=_EXAMPLE)
@click.argument("name", metavar="NAME")
@click.option("--to", "folder", metavar="DIR", type=_FOLDER, default=".", help="Where to.  [default: this folder]")
@click.option(
    "--file",
    "names",
    metavar="FILE",
    multiple=True,
    help='Only this file (may be repeated).  [default: all that "show" does not call optional]',
)
def fetch(name: str, folder: Path, names: tuple[str, ...]) -> None:
    """Fetch the files of NAME that are open, and say what to do by hand for the rest.

    An interrupted fetch goes on where it stopped. Sizes and sums are checked where they are known. Archives are left
    packed. A file that is here already is checked, and never overwritten.
    """
    from caffe_port.manifests import load

    manifest = load(name)
    chosen = _chosen(manifest, names)
    by_hand = [file for file in chosen if not file.url and not file.inside]
    for file in chosen:
        if file.url:
            _fetch(file, folder)
        elif file.inside:
            click.echo(f"{file.name}: is in {file.inside}.")
    for file in by_hand:
        click.echo(f"{file.name}: by hand. {file.how}")
    if manifest.steps:
        click.echo(f"{manifest.title}: {manifest.access}. {manifest.steps}")
    if not any(file.url for file in chosen):
        raise DataError(
            f"{name}: no program can fetch this.",
            remedy=f'Do as said above, then "caffe-port data verify {name} DIR".',
        )


@data.command("verify", epilog="Example: caffe-port data verify kvasir-seg data")
@click.argument("name", metavar="NAME")
@click.argument("folder", metavar="DIR", type=_FOLDER)
def verify(name: str, folder: Path) -> None:
    """Verify that DIR holds the data set NAME: its files, their sums, the layout of what was unpacked."""
    from caffe_port.manifests import load
    from caffe_port.manifests import verify as findings_in

    findings = findings_in(load(name), folder)
    for finding in findings:
        click.echo(f"{finding.state:7} {finding.place}" + (f" ({finding.note})" if finding.note else ""))
    wrong = sum(finding.state == "wrong" for finding in findings)
    if wrong:
        raise DataError(
            f"{wrong} of {len(findings)} are not as published.",
            file=folder,
            remedy="Remove what is wrong and fetch or unpack it again.",
        )


def _chosen(manifest: Manifest, names: tuple[str, ...]) -> list[File]:
    """The files called ``names``, or without names those that are not optional."""
    known = {file.name: file for file in manifest.files}
    for name in names:
        if name not in known:
            listed = f"It has {', '.join(known)}." if known else "Its files are not known."
            raise DataError(f"{manifest.name} has no file '{name}'.", remedy=listed)
    return [known[name] for name in names] or [file for file in manifest.files if not file.optional]


def _fetch(file: File, folder: Path) -> None:
    from caffe_port.cli.progress import Progress
    from caffe_port.manifests import fetch as fetched

    with Progress(unit="MB") as progress:

        def show_progress(done: int, total: int) -> None:
            if total:
                progress.count(done // 10**6, max(total // 10**6, 1))

        result = fetched(file, folder, show_progress)
    origin = f"fetched from {result.url}" if result.url else "was here already"
    checked = f"{result.checked} as published" if result.checked else "nothing is stated to check it by"
    archive = ". An archive: unpack it yourself" if file.kind == "archive" else ""
    click.echo(f"{result.path}: {origin}; {checked}{archive}.")


def _lines(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What "show" shows: label and text."""
    from caffe_port.manifests.records import ACCESS

    def fact(label: str, part: Record, key: str, text: str = "") -> Iterator[tuple[str, str]]:
        """The value of ``key``, if it is set, with its mark."""
        if getattr(part, key):
            yield label, (text or getattr(part, key)) + _mark(part, key)

    yield manifest.name, manifest.title
    everything = "every application" if manifest.application == "all" else ""
    yield from fact("for", manifest, "application", everything)
    yield from fact("home", manifest, "home")
    yield from fact("licence", manifest, "licence")
    yield from fact("", manifest, "terms")
    yield from fact("access", manifest, "access", f"{manifest.access}: {ACCESS[manifest.access]}")
    yield from fact("", manifest, "steps")
    yield from fact("contents", manifest, "contents")
    yield from fact("size", manifest, "approximate_size")
    for file in manifest.files:
        yield "file", _file(file)
    for entry in manifest.layout:
        copy = f"copy: {entry.copy}" if entry.copy else ""
        many = f"{entry.count:,} of them" if (entry.count or 0) > 1 else ""
        yield (
            "layout",
            "; ".join(filter(None, (entry.path, copy, entry.what, many)))
            + "".join(_mark(entry, key) for key in entry.unverified),
        )
    yield from fact("labels", manifest.labels, "format")
    if manifest.labels.classes:
        yield "", ", ".join(f"{folder}: {meaning}" for folder, meaning in manifest.labels.classes.items())
    if manifest.split:
        yield from fact("split by", manifest.split, "by")
        yield from fact("", manifest.split, "rule")
        if manifest.split.ranges:
            yield "", ", ".join(f"{first}-{last}" for first, last in manifest.split.ranges)
    for note in manifest.notes:
        yield "note", note
    if manifest.notes and "notes" in manifest.unverified:
        yield "", _mark(manifest, "notes").strip()
    yield from fact("cite", manifest, "citation")
    yield from fact("", manifest, "doi", f"doi {manifest.doi}")
    yield "sources", "; ".join(manifest.sources)
    count = len(manifest.unverified_facts())
    yield "unverified", f"{count} of these facts, marked above." if count else "Nothing is marked."


def _file(file: File) -> str:
    """A file of a manifest in words."""
    from caffe_port.manifests.records import size_of

    words = [f"{file.kind}, {file.what}" if file.what else file.kind]
    words.append("optional" if file.optional else "")
    words.append(size_of(file) + _mark(file, "approximate_size") + _mark(file, "size"))
    words.append(file.url + _mark(file, "url") if file.url else file.how.rstrip("."))
    words.append(f"in {file.inside}" if file.inside else "")
    words.append(f"mirrors {' '.join(file.mirrors)}{_mark(file, 'mirrors')}" if file.mirrors else "")
    words += [f"{name} {value}" for name, value in (("SHA-256", file.sha256), ("SHA-1", file.sha1)) if value]
    return f"{file.name}: {'; '.join(filter(None, words))}"


def _mark(part: Record, key: str) -> str:
    return f" [unverified: {part.unverified[key]}]" if key in part.unverified else ""
