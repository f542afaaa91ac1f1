"""`ehr download` against a small PhysioNet on this machine: resuming, verifying, refusing."""

import base64
import gzip
import hashlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from jobs import download as downloads
from jobs import transfer
from jobs.context import Context
from jobs.download import SUMS, download, parse_sums
from lakehouse.errors import ConfigError, RawDataError
from lakehouse.settings import Settings

PATIENTS = b"subject_id,gender\n" + b"".join(b"%d,F\n" % i for i in range(3000))
ADMISSIONS = b"subject_id,hadm_id\n1,2\n"
DEMO = "mimic-iv-demo/2.2"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sums(files: dict[str, bytes]) -> bytes:
    return "".join(f"{digest(content)} {name}\n" for name, content in files.items()).encode()


@dataclass
class Site:
    """What the server holds, how it misbehaves, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Any]] = field(default_factory=dict)
    """By path, for one request each: a status, ("cut", n) to hang up after n bytes, ("send", bytes), "shift"."""
    resumes: bool = True
    user: tuple[str, str] | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)

    def publish(self, path: str, files: dict[str, bytes]) -> None:
        self.files |= {f"/{path}/{name}": content for name, content in files.items()}
        self.files[f"/{path}/{SUMS}"] = sums(files)

    def ranges(self, name: str) -> list[str | None]:
        return [asked for path, asked in self.asked if path.endswith(name)]


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site, wanted = self.site, self.headers.get("Range")
        site.asked.append((self.path, wanted))
        if given := self.headers.get("Authorization"):
            site.passwords.append(given)
        fault = site.faults[self.path].pop(0) if site.faults.get(self.path) else None
        if site.user and given != "Basic " + base64.b64encode(":".join(site.user).encode()).decode():
            self.answer(401 if given is None else 403)
        elif isinstance(fault, int):
            self.answer(fault)
        elif self.path not in site.files:
            self.answer(404)
        else:
            self.send(wanted, *(fault if isinstance(fault, tuple) else (fault, None)))

    def send(self, wanted: str | None, kind: str | None, value: Any) -> None:
        site = self.site
        content = value if kind == "send" else site.files[self.path]
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and site.resumes else 0
        if start and start >= len(content):
            self.answer(416)
            return
        first = start + (1 if kind == "shift" else 0)
        headers = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"} if start else {}
        self.answer(206 if start else 200, content[first:], value if kind == "cut" else None, headers)

    def answer(
        self, status: int, content: bytes = b"", cut: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:cut])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(transfer, "WAITS", (0.0, 0.0, 0.0))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    for name in ("EHR_PHYSIONET_USER", "EHR_PHYSIONET_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    state = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"site": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def demo(site: Site) -> Site:
    """The MIMIC-IV demo's layout, with two made-up tables and files that nobody needs."""
    site.publish(
        DEMO,
        {"LICENSE.txt": b"ODbL", "README.txt": b"about", "icu/x.html": b"", "hosp/patients.csv.gz": PATIENTS}
        | {"icu/admissions.csv.gz": ADMISSIONS},
    )
    return site


def run(site: Site, out: Path, source: str = "mimiciv-demo-2.2", **given: Any) -> tuple[list[str], str]:
    """Names of the returned files below the source's folder, and what was said."""
    said = io.StringIO()
    context = Context.of(Settings(physionet_url=site.url, **given), Console(file=said, width=200))
    paths = download(context, source, out)
    return [path.relative_to(out / source).as_posix() for path in paths], said.getvalue()


def test_fetches_the_data_files_of_the_list(demo: Site, tmp_path: Path) -> None:
    names, said = run(demo, tmp_path)
    assert names == ["LICENSE.txt", "hosp/patients.csv.gz", "icu/admissions.csv.gz"]
    assert (tmp_path / "mimiciv-demo-2.2/hosp/patients.csv.gz").read_bytes() == PATIENTS
    there = {p.relative_to(tmp_path / "mimiciv-demo-2.2").as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert there == {*names, SUMS}
    assert "3 fetched, 0 there already, all verified" in said


def test_a_second_run_fetches_nothing_and_says_so(demo: Site, tmp_path: Path) -> None:
    first, _ = run(demo, tmp_path)
    demo.asked.clear()
    names, said = run(demo, tmp_path)
    assert names == first
    assert demo.asked == [(f"/{DEMO}/{SUMS}", None)]
    assert "hosp/patients.csv.gz  there already" in said
    assert "0 fetched, 3 there already" in said


def test_a_changed_file_is_fetched_again(demo: Site, tmp_path: Path) -> None:
    run(demo, tmp_path)
    path = tmp_path / "mimiciv-demo-2.2/icu/admissions.csv.gz"
    path.write_bytes(ADMISSIONS + b"3,4\n")
    _, said = run(demo, tmp_path)
    assert path.read_bytes() == ADMISSIONS
    assert "1 fetched, 2 there already" in said


def test_goes_on_where_an_earlier_run_stopped(demo: Site, tmp_path: Path) -> None:
    part = tmp_path / "mimiciv-demo-2.2/hosp/patients.csv.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(PATIENTS[:1000])
    run(demo, tmp_path)
    assert demo.ranges("patients.csv.gz") == ["bytes=1000-"]
    assert part.with_suffix("").read_bytes() == PATIENTS
    assert not part.exists()


def test_a_complete_part_is_verified_and_named(demo: Site, tmp_path: Path) -> None:
    part = tmp_path / "mimiciv-demo-2.2/hosp/patients.csv.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(PATIENTS)
    run(demo, tmp_path)
    assert demo.ranges("patients.csv.gz") == [f"bytes={len(PATIENTS)}-"]
    assert part.with_suffix("").read_bytes() == PATIENTS


def test_starts_over_where_the_site_ignores_ranges(demo: Site, tmp_path: Path) -> None:
    demo.resumes = False
    part = tmp_path / "mimiciv-demo-2.2/hosp/patients.csv.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 500)
    run(demo, tmp_path)
    assert demo.ranges("patients.csv.gz") == ["bytes=500-"]
    assert part.with_suffix("").read_bytes() == PATIENTS


def test_starts_over_where_the_site_answers_another_range(demo: Site, tmp_path: Path) -> None:
    demo.faults[f"/{DEMO}/hosp/patients.csv.gz"] = [("cut", 1000), "shift"]
    run(demo, tmp_path)
    assert demo.ranges("patients.csv.gz") == [None, "bytes=1000-", None]
    assert (tmp_path / "mimiciv-demo-2.2/hosp/patients.csv.gz").read_bytes() == PATIENTS


def test_breaks_resume_and_do_not_count_while_bytes_arrive(demo: Site, tmp_path: Path) -> None:
    demo.faults[f"/{DEMO}/hosp/patients.csv.gz"] = [("cut", 1000)] * 6
    run(demo, tmp_path)
    asked = demo.ranges("patients.csv.gz")
    assert asked == [None, *(f"bytes={1000 * i}-" for i in range(1, 7))]
    assert (tmp_path / "mimiciv-demo-2.2/hosp/patients.csv.gz").read_bytes() == PATIENTS


def test_tries_again_after_server_errors(demo: Site, tmp_path: Path) -> None:
    demo.faults[f"/{DEMO}/{SUMS}"] = [503]
    demo.faults[f"/{DEMO}/hosp/patients.csv.gz"] = [500, 502, 429]
    _, said = run(demo, tmp_path)
    assert len(demo.ranges("patients.csv.gz")) == 4
    assert "the site answers 502; trying again in 0 s" in said


def test_gives_up_and_keeps_what_arrived(demo: Site, tmp_path: Path) -> None:
    demo.faults[f"/{DEMO}/hosp/patients.csv.gz"] = [("cut", 700), *[503] * 4]
    with pytest.raises(RawDataError, match=r"patients\.csv\.gz could not be fetched \(the site answers 503\)"):
        run(demo, tmp_path)
    assert len(demo.ranges("patients.csv.gz")) == 4
    folder = tmp_path / "mimiciv-demo-2.2/hosp"
    assert [p.name for p in folder.iterdir()] == ["patients.csv.gz.part"]
    assert (folder / "patients.csv.gz.part").read_bytes() == PATIENTS[:700]


def test_a_wrong_checksum_is_fetched_once_more(demo: Site, tmp_path: Path) -> None:
    demo.faults[f"/{DEMO}/icu/admissions.csv.gz"] = [("send", b"garbage")]
    _, said = run(demo, tmp_path)
    assert demo.ranges("admissions.csv.gz") == [None, None]
    assert (tmp_path / "mimiciv-demo-2.2/icu/admissions.csv.gz").read_bytes() == ADMISSIONS
    assert f"arrived with SHA-256 {digest(b'garbage')}, not {digest(ADMISSIONS)}" in said


def test_a_checksum_wrong_twice_names_the_file_and_both_digests(demo: Site, tmp_path: Path) -> None:
    demo.faults[f"/{DEMO}/icu/admissions.csv.gz"] = [("send", b"garbage")] * 2
    with pytest.raises(RawDataError) as error:
        run(demo, tmp_path)
    for part in ("icu/admissions.csv.gz", digest(b"garbage"), digest(ADMISSIONS)):
        assert part in str(error.value)
    assert list((tmp_path / "mimiciv-demo-2.2/icu").iterdir()) == []


def test_a_listed_file_that_the_site_lacks_is_named(demo: Site, tmp_path: Path) -> None:
    del demo.files[f"/{DEMO}/icu/admissions.csv.gz"]
    with pytest.raises(RawDataError, match=r"icu/admissions\.csv\.gz cannot be had: the site answers 404"):
        run(demo, tmp_path)


def test_a_file_gzipped_since_counts_as_there(site: Site, tmp_path: Path) -> None:
    site.publish("mimiciii-demo/1.4", {"PATIENTS.csv": PATIENTS, "ADMISSIONS.csv": ADMISSIONS})
    folder = tmp_path / "mimiciii-demo-1.4"
    folder.mkdir()
    (folder / "PATIENTS.csv.gz").write_bytes(gzip.compress(PATIENTS))
    (folder / "ADMISSIONS.csv.gz").write_bytes(gzip.compress(ADMISSIONS)[:-3])
    names, said = run(site, tmp_path, "mimiciii-demo-1.4")
    assert names == ["PATIENTS.csv.gz", "ADMISSIONS.csv"]
    assert "ADMISSIONS.csv.gz does not hold the release's ADMISSIONS.csv" in said


@pytest.mark.usefixtures("site")
def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    nowhere = Site(url="http://127.0.0.1:9")
    with pytest.raises(RawDataError, match=r"^there is no connection to 127\.0\.0\.1 .*run this again\.$"):
        run(nowhere, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_kept_list_verifies_without_a_network(demo: Site, tmp_path: Path) -> None:
    first, _ = run(demo, tmp_path)
    names, said = run(Site(url="http://127.0.0.1:9"), tmp_path)
    assert names == first
    assert "stands in for the site's list" in said


def test_digests_of_our_own_where_the_release_has_no_list(site: Site, tmp_path: Path, pinned: dict[str, bytes]) -> None:
    site.files |= {f"/challenge-2012/1.0.0/{name}": content for name, content in pinned.items()}
    names, said = run(site, tmp_path, "challenge-2012")
    assert sorted(names) == sorted(pinned)
    assert "has no digest of Outcomes-a.txt, set-a.tar.gz: conf/sources.yml has" in said
    site.files["/challenge-2012/1.0.0/set-a.tar.gz"] = b"other"
    (tmp_path / "challenge-2012/set-a.tar.gz").unlink()
    with pytest.raises(RawDataError, match="wrong checksum"):
        run(site, tmp_path, "challenge-2012")


def test_the_release_s_list_goes_before_our_own(site: Site, tmp_path: Path, pinned: dict[str, bytes]) -> None:
    site.publish("challenge-2012/1.0.0", pinned | {"set-a.tar.gz": b"corrected", "set-a.zip": b"the same again"})
    names, said = run(site, tmp_path, "challenge-2012")
    assert sorted(names) == sorted(pinned)
    assert (tmp_path / "challenge-2012/set-a.tar.gz").read_bytes() == b"corrected"
    assert "conf/sources.yml has" not in said


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two made-up Challenge files, whose digests conf/sources.yml has for this test."""
    files = {"set-a.tar.gz": b"records", "Outcomes-a.txt": b"RecordID\n1\n"}
    content = downloads.sources()
    content["challenge-2012"]["sha256"] = {name: digest(body) for name, body in files.items()}
    conf = tmp_path_factory.mktemp("conf")
    (conf / "sources.yml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(downloads, "CONF", conf)
    return files


def test_no_list_and_no_digests_means_nothing_is_fetched(site: Site, tmp_path: Path) -> None:
    site.files[f"/{DEMO}/hosp/patients.csv.gz"] = PATIENTS
    with pytest.raises(RawDataError, match="none could be verified"):
        run(site, tmp_path)
    assert site.ranges("patients.csv.gz") == []


def test_a_credentialed_release_gets_name_and_password(site: Site, tmp_path: Path) -> None:
    site.user = ("florence", "pä:ss")
    site.publish("mimiciv/3.1", {"hosp/patients.csv.gz": PATIENTS})
    names, said = run(site, tmp_path, "mimiciv-3.1", physionet_user="florence", physionet_password="pä:ss")
    assert names == ["hosp/patients.csv.gz"]
    assert "pä:ss" not in said


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_what_to_do(site: Site, tmp_path: Path, status: int) -> None:
    site.publish("mimiciv/3.1", {"hosp/patients.csv.gz": PATIENTS})
    site.faults[f"/mimiciv/3.1/{SUMS}"] = [status]
    with pytest.raises(RawDataError) as error:
        run(site, tmp_path, "mimiciv-3.1", physionet_user="florence", physionet_password="wrong")
    said = str(error.value)
    assert f"is refused ({status})" in said
    assert f"sign the data use agreement at {site.url}/content/mimiciv/3.1/" in said
    assert "set EHR_PHYSIONET_USER and EHR_PHYSIONET_PASSWORD" in said
    assert f"--cut-dirs=2 -P {tmp_path / 'mimiciv-3.1'} " in said
    assert "wrong" not in said
    assert len(site.asked) == 1


def test_without_an_account_nothing_is_asked(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="EHR_PHYSIONET_USER and EHR_PHYSIONET_PASSWORD"):
        run(site, tmp_path, "mimiciii-1.4", physionet_user="florence")
    assert site.asked == []


def test_an_open_release_never_sees_the_password(demo: Site, tmp_path: Path) -> None:
    run(demo, tmp_path, physionet_user="florence", physionet_password="secret")
    assert demo.passwords == []


@pytest.mark.parametrize(
    ("url", "problem"), [("http://physionet.example", "in the clear"), ("physionet.org/files", "starts with https")]
)
def test_an_unfit_address_is_refused(tmp_path: Path, url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        run(Site(url=url), tmp_path, "mimiciv-2.2", physionet_user="florence", physionet_password="secret")


def test_an_unknown_source_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no source 'mimiciv-demo'; did you mean 'mimiciv-demo-2\.2'"):
        run(Site(url="http://127.0.0.1:9"), tmp_path, "mimiciv-demo")


def test_a_folder_that_cannot_be_written_is_named(demo: Site, tmp_path: Path) -> None:
    (tmp_path / "mimiciv-demo-2.2").write_text("a file")
    with pytest.raises(RawDataError, match=r"mimiciv-demo-2\.2 cannot be written: File exists"):
        run(demo, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.csv",
        "/etc/evil.csv",
        "hosp/../../evil.csv",
        "hosp//x.csv",
        "C:\\x.csv",
        "c:x.csv",
        "..",
        "hosp/\x1b.csv",
    ],
)
def test_a_name_outside_the_folder_is_refused(demo: Site, tmp_path: Path, name: str) -> None:
    demo.files[f"/{DEMO}/{SUMS}"] += f"{digest(b'x')}  {name}\n".encode()
    with pytest.raises(RawDataError, match="outside the release's folder: refused"):
        run(demo, tmp_path)
    assert len(demo.asked) == 1
    assert list(tmp_path.rglob("*")) == []


def test_a_page_in_place_of_the_list_is_refused() -> None:
    with pytest.raises(RawDataError, match="not a list of SHA-256 digests: it has the line '<html>'"):
        parse_sums("<html>\n", "https://example.org/SHA256SUMS.txt")


def test_reads_both_forms_of_sha256sum() -> None:
    one, two = digest(b"1"), digest(b"2")
    text = f"{one} LICENSE.txt\n\n{two.upper()} *./hosp/a b.csv.gz\n"
    assert parse_sums(text, "") == {"LICENSE.txt": one, "hosp/a b.csv.gz": two}


@given(st.text(max_size=40))
def test_a_listed_name_never_leaves_the_folder(name: str) -> None:
    folder = Path("/data/release")
    try:
        names = parse_sums(f"{digest(b'')}  {name}", "")
    except RawDataError:
        return
    for kept in names:
        path = folder / kept
        assert path != folder
        assert Path(*path.parts[: len(folder.parts)]) == folder
        assert ".." not in path.parts


def test_every_source_of_the_file_is_complete() -> None:
    for name in downloads.sources():
        release = downloads._release(Settings(), name)
        assert release.access in ("open", "credentialed")
        assert release.path.count("/") == 1
        assert release.files
        assert all(len(bytes.fromhex(value)) == 32 for value in release.sha256.values())


def test_real_outcomes_have_the_digests_of_the_file(real_raw: Path) -> None:
    """The publisher's own bytes; the tarballs of a raw folder may have been packed again."""
    known = downloads._release(Settings(), "challenge-2012").sha256
    found = list((real_raw / "challenge-2012").glob("Outcomes-*.txt"))
    assert found
    assert {p.name: digest(p.read_bytes()) for p in found} == {p.name: known[p.name] for p in found}
