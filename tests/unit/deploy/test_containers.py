"""Dockerfile and compose.yaml, read: no Docker can be had where this is developed.

What linters for them look for, and that every variable and port in them means something to the
server. Building and running them is not tested anywhere.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from visavis.streamer.config import Config, load_config

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "docs" / "deploy"
GIVEN = {
    "VISAVIS_TOKEN": "correct horse battery",
    "VISAVIS_NAME": "avatars.example.org",
    "PUBLIC_IP": "203.0.113.7",
    "TURN_SECRET": "a-shared-secret",
}


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its argument, lines that go on put together."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    found = []
    for line in filter(str.strip, whole.splitlines()):
        name, _, rest = line.partition(" ")
        found.append((name, " ".join(rest.split())))
    return found


def of(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")

    def filled(match: re.Match[str]) -> str:
        return GIVEN[match.group(1)]

    text = text.replace("$$", "\0")
    text = re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", filled, text).replace("\0", "$")
    return yaml.safe_load(text)


def ports(text: str) -> tuple[int, int, str]:
    """Return the first and last port inside the container, and the protocol."""
    span, _, protocol = text.partition("/")
    low, _, high = span.rpartition(":")[2].partition("-")
    return int(low), int(high or low), protocol or "tcp"


def test_every_instruction_is_one() -> None:
    known = {
        *("FROM", "RUN", "WORKDIR", "COPY", "ARG", "ENV", "USER", "VOLUME"),
        *("EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
    }
    assert {name for name, _ in instructions()} <= known


def test_images_are_pinned_and_stages_exist() -> None:
    stages: set[str] = set()
    for image in of("FROM"):
        name, _, stage = image.partition(" AS ")
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", name), f"{name} is not pinned"
        stages.add(stage)
    copied = {found.group(1) for rest in of("COPY") if (found := re.match(r"--from=(\w+)", rest))}
    assert copied and copied <= stages


def test_nobody_is_root_and_nothing_is_left_behind() -> None:
    last = [name for name, _ in instructions()]
    assert of("USER")[-1] not in ("root", "0")
    assert last.index("USER") > max(i for i, name in enumerate(last) if name in ("RUN", "COPY"))
    for rest in of("RUN"):
        assert "sudo" not in rest and "curl" not in rest
        if "apt-get install" in rest:
            assert "--no-install-recommends" in rest and "rm -rf /var/lib/apt/lists" in rest
            assert rest.startswith("apt-get update &&")
        if "pip install" in rest:
            assert "--no-cache-dir" in rest


def test_what_runs_is_json_and_the_health_is_looked_at() -> None:
    assert json.loads(of("ENTRYPOINT")[0]) == ["visavis"] and json.loads(of("CMD")[0]) == ["serve"]
    (health,) = of("HEALTHCHECK")
    command = json.loads(health[health.index("[") :])
    compile(command[-1], "healthcheck", "exec")
    assert "/healthz" in command[-1]


def test_settings_in_the_image_are_settings() -> None:
    pairs = re.findall(r"(\w+)=(\S+)", " ".join(of("ENV")))
    given = {name: value for name, value in pairs if name.startswith("VISAVIS_")}
    config = load_config(environ={**given, "VISAVIS_TOKEN": GIVEN["VISAVIS_TOKEN"]})
    assert config.server.host == "0.0.0.0" and str(config.data_dir) == "/data"
    assert set(json.loads(of("VOLUME")[0])) == {"/data", "/cache"}


def settings(compose: dict[str, Any]) -> Config:
    return load_config(environ=compose["services"]["visavis"]["environment"])


def test_settings_in_compose_are_settings(compose: dict[str, Any]) -> None:
    config = settings(compose)
    assert config.server.host_names == (GIVEN["VISAVIS_NAME"],)
    assert config.ice.servers == ("turn:203.0.113.7:3478",) and not config.ice.relay
    assert config.ice.advertise == (GIVEN["PUBLIC_IP"],)


def test_media_ports_are_those_that_are_published(compose: dict[str, Any]) -> None:
    ice = settings(compose).ice
    wanted = (ice.udp_port_min, ice.udp_port_max, "udp")
    assert [ports(p) for p in compose["services"]["visavis"]["ports"]] == [wanted]
    assert wanted in [ports(p) for p in of("EXPOSE")[0].split()]


def test_turn_relays_through_what_it_publishes_and_reaches_no_private_network(
    compose: dict[str, Any],
) -> None:
    coturn = compose["services"]["coturn"]
    options = dict(option.lstrip("-").partition("=")[::2] for option in coturn["command"])
    relayed = (int(options["min-port"]), int(options["max-port"]), "udp")
    published = [ports(p) for p in coturn["ports"]]
    assert relayed in published and (3478, 3478, "udp") in published
    assert options["static-auth-secret"] == settings(compose).ice.secret
    denied = [o for o in coturn["command"] if "denied-peer-ip" in o]
    documented = re.findall(r"^denied-peer-ip=(\S+)", (ROOT / "docs/deploy.md").read_text(), re.M)
    assert [o.partition("=")[2] for o in denied] == documented


def test_services_can_do_no_more_than_they_must(compose: dict[str, Any]) -> None:
    for name in ("visavis", "coturn"):
        service = compose["services"][name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert "privileged" not in service and "network_mode" not in service


def test_all_that_is_named_is_there(compose: dict[str, Any]) -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    header = text[: text.index("services:")]
    for name in re.findall(r"(?<!\$)\$\{(\w+)", text):
        assert f"{name}=" in header, f"{name} is not said"
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in compose["volumes"]
        for used in service.get("configs", []):
            assert used["source"] in compose["configs"]
        for other in service.get("depends_on", []):
            assert other in compose["services"]
        image = service["image"]
        assert image == "visavis" or re.fullmatch(r"[\w/]+:\d[\w.]*", image), (
            f"{image} is not pinned"
        )
