"""The reverse proxies of docs/deploy.md, run as they are documented."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from visavis.streamer.http.security.authority import issue

ROOT = Path(__file__).resolve().parents[3]
NAME = "avatars.example.org"
STARTS_WITHIN_S = 30


@dataclass(frozen=True)
class Proxied:
    """A server behind a proxy.

    Attributes:
        url: of the page, as a browser sees it.
        http: goes to the proxy and believes its certificate.
        folder: the proxy's own.
    """

    url: str
    http: httpx.Client
    folder: Path

    @property
    def origin(self) -> str:
        return "/".join(self.url.split("/")[:3])

    def ask(self, method: str, path: str, **options: object) -> httpx.Response:
        """Ask as a browser that has looked the name up."""
        port = self.url.split(":")[2].split("/")[0]
        where = f"https://127.0.0.1:{port}/{self.url.split('/', 3)[3]}{path}"
        headers = {"host": f"{NAME}:{port}", **options.pop("headers", {})}  # type: ignore[dict-item]
        sni = {"sni_hostname": NAME}
        return self.http.request(method, where, headers=headers, extensions=sni, **options)  # type: ignore[arg-type]


def snippet(language: str) -> str:
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/deploy.md has no {language}"
    return found.group(1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def nginx_of(folder: Path, port: int, upstream: int, cert: Path, key: Path) -> list[str]:
    site = snippet("nginx")
    for before, after in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/avatars.crt", str(cert)),
        ("/etc/ssl/avatars.key", str(key)),
        ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
    ):
        assert before in site
        site = site.replace(before, after)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/log; events {{}}\n"
        f"http {{ access_log off;\n{paths}{site}}}\n"
    )
    return ["nginx", "-p", str(folder), "-e", f"{folder}/log", "-c", str(config)]


def caddy_of(folder: Path, port: int, upstream: int, cert: Path, key: Path) -> list[str]:
    site = snippet("caddy")
    assert f"{NAME} {{" in site and "127.0.0.1:8080" in site
    site = site.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
    site = site.replace(f"{NAME} {{", f"https://{NAME}:{port} {{\n    tls {cert} {key}")
    config = folder / "Caddyfile"
    config.write_text(f"{{\n    admin off\n    auto_https disable_redirects\n}}\n{site}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]


PROXIES: dict[str, tuple[Callable[..., list[str]], str]] = {
    "nginx": (nginx_of, "/avatars"),
    "caddy": (caddy_of, ""),
}


@pytest.fixture(params=sorted(PROXIES), scope="module")
def proxied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    name: str = request.param
    tmp_path = tmp_path_factory.mktemp(name)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    command, prefix = PROXIES[name]
    now = datetime.datetime.now(datetime.UTC)
    made = issue(tmp_path / "tls", [NAME], ["127.0.0.1"], now)
    folder, port = tmp_path / "proxy", free_port()
    folder.mkdir(mode=0o777)
    (tmp_path / "data").mkdir()
    server = [
        sys.executable,
        "-m",
        "tests.fakes.processes.bounded_server",
        str(tmp_path / "data"),
        "4096",
    ]
    settings = [f"server.host_names={NAME}", f"server.root_path={prefix}"]
    home = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with contextlib.ExitStack() as stack:
        serving = subprocess.Popen(
            [*server, *settings], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        stack.callback(end, serving)
        assert serving.stdout is not None
        upstream = int(serving.stdout.readline())
        log = stack.enter_context((folder / "said").open("wb"))
        running = subprocess.Popen(
            command(folder, port, upstream, made.cert, made.key),
            env=home,
            stdout=log,
            stderr=log,
        )
        stack.callback(end, running)
        context = ssl.create_default_context(cafile=str(made.authority))
        http = stack.enter_context(httpx.Client(verify=context, timeout=20))
        found = Proxied(f"https://{NAME}:{port}{prefix}/", http, folder)
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if found.ask("GET", "healthz").is_success:
                    break
            ended = running.poll() is not None or serving.poll() is not None
            said = (folder / "said").read_text()
            assert not ended and time.monotonic() < deadline, said
            time.sleep(0.05)
        yield found


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(20)


def test_the_page_and_its_parts_come(proxied: Proxied) -> None:
    page = proxied.ask("GET", "")
    assert page.status_code == 200 and "Vis-à-vis" in page.text
    parts = re.findall(r'(?:href|src)="(static/[^"#]+)', page.text)
    assert len(parts) > 4
    for part in (*parts, "client.js"):
        assert proxied.ask("GET", part).status_code == 200, part


def test_the_bare_prefix_leads_to_the_page(proxied: Proxied) -> None:
    if proxied.url.count("/") == 3:
        return  # there is no prefix, so "/" is the page
    bare = proxied.ask("GET", "")  # as documented, with its slash
    port = proxied.url.split(":")[2].split("/")[0]
    headers = {"host": f"{NAME}:{port}"}
    answer = proxied.http.get(f"https://127.0.0.1:{port}/avatars", headers=headers)
    assert answer.status_code in (301, 308)
    assert answer.headers["location"].endswith("/avatars/") and bare.status_code == 200


def test_the_page_may_write_and_others_may_not(proxied: Proxied) -> None:
    body = {"sdp": "v=0", "type": "offer"}
    own = proxied.ask("POST", "api/offer", json=body, headers={"origin": proxied.origin})
    assert own.status_code == 400 and own.json()["code"] == "bad-request"
    for origin in ("https://evil.example", proxied.origin.replace("https", "http")):
        other = proxied.ask("POST", "api/offer", json=body, headers={"origin": origin})
        assert (other.status_code, other.json()["code"]) == (403, "origin")


def test_another_name_is_refused(proxied: Proxied) -> None:
    with contextlib.suppress(httpx.HTTPError):  # the proxy may not know it either
        answer = proxied.ask("GET", "api/avatars", headers={"host": "evil.example"})
        assert answer.status_code in (403, 404, 421) or not answer.content


def test_a_photo_goes_through_without_a_file_of_the_proxy(proxied: Proxied) -> None:
    """Where the proxy would keep a body lies a file now, so that it cannot."""
    kept = proxied.folder / "client_body"
    if kept.is_dir():
        shutil.rmtree(kept)
        kept.write_text("")
    fields, files = {"name": "zoe", "consent": "true"}, {"photo": ("a.jpg", b"x" * 30_000_000)}
    headers = {"origin": proxied.origin}
    answer = proxied.ask("POST", "api/avatars", data=fields, files=files, headers=headers)
    assert answer.status_code == 202, answer.text
