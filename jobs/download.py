"""Raw files from PhysioNet: the releases of conf/sources.yml, every file verified against the release's checksums."""

import re
import shlex
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

import httpx
import yaml
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from jobs.context import Context
from jobs.transfer import Transfer
from lakehouse.errors import ConfigError, RawDataError
from lakehouse.settings import CONF, Settings

SUMS = "SHA256SUMS.txt"
#: PhysioNet asks that a program name itself, not its HTTP library (physionet-build, project/utility.py).
AGENT = "ehr-lakehouse/0.1"


@dataclass(frozen=True)
class Release:
    """One version of a data set, as conf/sources.yml describes it; `site` is the address that its path is below."""

    name: str
    site: str
    title: str
    path: str
    access: str
    licence: str
    files: list[str]
    sha256: dict[str, str] = field(default_factory=dict)

    def url(self, file: str = "") -> str:
        return f"{self.site}/{self.path}/{quote(file)}"

    @property
    def credentialed(self) -> bool:
        return self.access == "credentialed"

    @property
    def way_in(self) -> str:
        page = f"{self.site.removesuffix('/files')}/content/{self.path}/"
        return (
            f"sign the data use agreement at {page} (it asks for a credentialed account and training), "
            "then set EHR_PHYSIONET_USER and EHR_PHYSIONET_PASSWORD"
        )


def sources() -> dict[str, dict[str, object]]:
    """Entries of conf/sources.yml, by the name that `ehr download` takes."""
    return dict(yaml.safe_load((CONF / "sources.yml").read_text(encoding="utf-8")))


def download(context: Context, source: str, out: Path) -> list[Path]:
    """Fetches the data files of `source` into `out/source`; their paths, those that were there already among them.

    ConfigError where the source is not known or lacks an account; RawDataError where a file cannot be had or verified.
    What has arrived stays in `<name>.part`, where the next run goes on.
    """
    release, console, folder = _release(context.settings, source), context.console, out / source
    console.print(f"[bold]{release.name}[/]  {escape(release.title)}; licence: {release.licence}")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    client = httpx.Client(
        auth=_auth(context.settings, release),
        # Bytes as they are stored: a compressed transfer could neither be resumed nor verified.
        headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
        timeout=httpx.Timeout(60, connect=15),
        follow_redirects=True,
    )
    with client, Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        job = _Job(release, folder, progress, console, client)
        try:
            return job.run()
        except OSError as error:
            raise RawDataError(f"{error.filename or folder} cannot be written: {error.strerror}.") from error


def parse_sums(text: str, url: str) -> dict[str, str]:
    """Digest by file name of a `sha256sum` list.

    RawDataError for a line of another form, and for a name that would lead out of the release's folder.
    """
    digests = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        match = re.fullmatch(r"([0-9a-fA-F]{64})\s+\*?(.+)", line)
        if not match:
            raise RawDataError(f"{url} is not a list of SHA-256 digests: it has the line {line[:60]!r}.")
        name = match[2].removeprefix("./")
        if re.search(r"[\\:\x00-\x1f]", name) or any(part in ("", ".", "..") for part in name.split("/")):
            raise RawDataError(f"{url} names the file {name!r}, which would lie outside the release's folder: refused.")
        digests[name] = match[1].lower()
    return digests


def _release(settings: Settings, source: str) -> Release:
    known = sources()
    if source not in known:
        near = get_close_matches(source, known, n=1, cutoff=0.0)[0]
        raise ConfigError(f"no source {source!r}; did you mean {near!r}? conf/sources.yml has {', '.join(known)}.")
    return Release(source, settings.physionet_url.rstrip("/"), **known[source])  # type: ignore[arg-type]


def _auth(settings: Settings, release: Release) -> httpx.BasicAuth | None:
    """Name and password where the release asks for them; the site of an open one never sees them."""
    site = f"physionet_url {release.site!r}"
    try:
        url = httpx.URL(release.site)
    except httpx.InvalidURL as error:
        raise ConfigError(f"{site} is not an address: {error}.") from None
    if url.scheme not in ("https", "http") or not url.host:
        raise ConfigError(f"{site} is not an address that starts with https://.")
    if not release.credentialed:
        return None
    if not (settings.physionet_user and settings.physionet_password):
        raise ConfigError(f"{release.name} is for credentialed users: {release.way_in}.")
    if url.scheme == "http" and url.host not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigError(f"{site} would send the password in the clear: use https.")
    return httpx.BasicAuth(settings.physionet_user, settings.physionet_password.get_secret_value())


class _Job:
    """One download at work."""

    def __init__(
        self, release: Release, folder: Path, progress: Progress, console: Console, client: httpx.Client
    ) -> None:
        self.release, self.folder, self.progress, self.console = release, folder, progress, console
        self.transfer = Transfer(client, progress, self._note, self._remedy())

    def run(self) -> list[Path]:
        digests = self._digests()
        paths, fetched = [], 0
        for place, (name, digest) in enumerate(digests.items(), 1):
            task = self.progress.add_task(f"{place}/{len(digests)} {escape(name)}", total=None)
            path = self._there(name, digest, task)
            if path is None:
                path = self.folder / name
                self.transfer.file(self.release.url(name), path, digest, task)
                fetched += 1
                self.console.print(f"  [green]✓[/] {escape(name)}  {path.stat().st_size:,} bytes")
            self.progress.remove_task(task)
            paths.append(path)
        counts = f"{fetched} fetched, {len(paths) - fetched} there already, all verified"
        self.console.print(f"{self.folder}: {counts}", markup=False, soft_wrap=True)
        return paths

    def _digests(self) -> dict[str, str]:
        """Digest of each file to have, by name. The folder's copy of the list stands in where the site gives none."""
        kept, url = self.folder / SUMS, self.release.url(SUMS)
        try:
            text = self.transfer.text(url)
        except RawDataError as error:
            if not kept.is_file():
                raise
            self._note(f"{error} {kept} stands in for the site's list.")
            text = kept.read_text(encoding="utf-8")
        listed = parse_sums(text or "", url)
        chosen = {n: d for n, d in listed.items() if any(fnmatchcase(n, glob) for glob in self.release.files)}
        if unlisted := sorted(self.release.sha256.keys() - chosen.keys()):
            self._note(f"{url} has no digest of {', '.join(unlisted)}: conf/sources.yml has.")
        if not (digests := self.release.sha256 | chosen):
            raise RawDataError(f"{url} lists no data file of {self.release.name}, so none could be verified.")
        if text:
            self.folder.mkdir(parents=True, exist_ok=True)
            kept.write_text(text, encoding="utf-8")
        return digests

    def _there(self, name: str, digest: str, task: TaskID) -> Path | None:
        """The file where the folder has it, as published or gzipped since."""
        path = self.folder / name
        packed = path.with_name(f"{path.name}.gz")
        for candidate in filter(Path.is_file, (path, packed)):
            if self.transfer.sha256(candidate, task, unpack=candidate == packed) == digest:
                self.console.print(
                    f"  [dim]=[/] {escape(candidate.relative_to(self.folder).as_posix())}  there already"
                )
                return candidate
            self._note(f"{candidate} does not hold the release's {name}, which is fetched.")
        return None

    def _remedy(self) -> str:
        if not self.release.credentialed:
            return "the release is open, so the site or a proxy on the way turns this machine away"
        base = self.release.url()
        depth = len([part for part in httpx.URL(base).path.split("/") if part])
        into = shlex.quote(str(self.folder))
        return (
            f"{self.release.way_in}; PhysioNet takes a password only from programs that it knows, so if both are "
            f"done, fetch with `wget -r -c -np -nH --cut-dirs={depth} -P {into} --user NAME --ask-password {base}` "
            "and run this again, which verifies what is there"
        )

    def _note(self, text: str) -> None:
        self.console.print(f"  [yellow]{escape(text)}[/]", soft_wrap=True)
