from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from pydantic import ValidationError

from visavis.streamer.commands.settings import as_markdown, settings
from visavis.streamer.config import Config, load_config
from visavis.streamer.errors import BadRequest


def test_defaults_listen_on_loopback_only() -> None:
    assert load_config(environ={}).server.host == "127.0.0.1"


def test_command_line_beats_environment_beats_file(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text("[server]\nport = 1001\nhost = '127.0.0.2'\n[media]\nsize = 256\n")
    config = load_config(
        file, environ={"VISAVIS_PORT": "1002"}, overrides={"server.port": 1003, "data_dir": None}
    )
    assert (config.server.port, config.server.host, config.media.size) == (1003, "127.0.0.2", 256)
    assert load_config(file, environ={"VISAVIS_PORT": "1002"}).server.port == 1002


def test_file_named_by_environment(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text("data_dir = '/somewhere'\n")
    assert load_config(environ={"VISAVIS_CONFIG": str(file)}).data_dir == Path("/somewhere")


def test_long_variable_names_and_lists() -> None:
    config = load_config(
        environ={"VISAVIS_SERVER_ALLOWED_ORIGINS": "https://a.example, https://b.example"}
    )
    assert config.server.allowed_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("[server]\nprot = 1", "server.prot"),
        ("[servre]\nport = 1", "servre"),
        ("[media]\nsize = 500", "256, 384 or 512"),
        ("[media]\nfps = 'fast'", "media.fps"),
        ("[server]\nport = true", "server.port"),
        ("not toml", "not valid TOML"),
        ("[engine]\nengine = 'abacus'", "engine.engine"),
    ],
)
def test_bad_files_are_named_in_one_sentence(tmp_path: Path, toml: str, sentence: str) -> None:
    file = tmp_path / "v.toml"
    file.write_text(toml)
    with pytest.raises(BadRequest) as caught:
        load_config(file, environ={})
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value).strip()


@settings_of_hypothesis(deadline=None)  # a loaded machine is no fault
@given(st.dictionaries(st.sampled_from(["server.port", "media.fps", "media.size"]), st.text()))
def test_any_text_is_a_config_or_a_sentence(values: dict[str, str]) -> None:
    try:
        assert isinstance(load_config(environ={}, overrides=values), Config)
    except BadRequest as error:
        assert str(error).endswith(".")


@pytest.mark.parametrize("word", ["false", "0", "no", "off", "False"])
def test_a_switch_can_be_switched_off(word: str, tmp_path: Path) -> None:
    assert load_config(environ={"VISAVIS_MEDIA_REFINE": word}).media.refine is False
    file = tmp_path / "v.toml"
    file.write_text("[media]\nrefine = false\n")
    assert load_config(file, environ={}).media.refine is False
    assert load_config(environ={}).media.refine is True


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("VISAVIS_MEDIA_REFINE", "maybe", "The setting media.refine must be true or false."),
        ("VISAVIS_PRT", "1", "There is no setting named VISAVIS_PRT; did you mean VISAVIS_PORT?"),
        ("VISAVIS_SERVER_PROT", "1", "There is no setting named VISAVIS_SERVER_PROT; did you"),
        ("VISAVIS_SERVER", "{}", "There is no setting named VISAVIS_SERVER"),
        ("VISAVIS_", "", "There is no setting named VISAVIS_"),
        ("VISAVIS_MEDIA_SIZE", "500", "The setting media.size must be 256, 384 or 512."),
        ("VISAVIS_MEDIA_RING_MS", "39", "must be a whole number between 40 and 1000."),
        ("VISAVIS_LIMITS_CANDIDATES", "-1", "must be a whole number between 1 and 1000."),
        ("VISAVIS_LIMITS_SESSION_MAX_S", "nan", "must be a number between 0 and 2592000."),
        ("VISAVIS_TOKEN", "x", "The setting server.token must have at least 16 characters."),
        ("VISAVIS_TOKEN", "fünfzehn und mehr", "must be plain ASCII"),
        ("VISAVIS_SERVER_ALLOWED_ORIGINS", "*", "must be origins such as https://app.example"),
        ("VISAVIS_SERVER_ALLOWED_ORIGINS", "https://a.example/x", "without a path"),
        ("VISAVIS_SERVER_PUSH_TO", "ftp://a.example/", "must be beginnings of addresses"),
        ("VISAVIS_MEDIA_VIDEO_CODEC", "h264", "must be H264 or VP8."),
    ],
)
def test_wrong_variables_are_one_sentence(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(BadRequest) as caught:
        load_config(environ={variable: value})
    assert sentence in str(caught.value)


def test_every_number_has_a_range() -> None:
    """A limit without one can be set to what stops the server, and says so only later."""
    definitions = Config.model_json_schema()["$defs"]
    for section, schema in definitions.items():
        for name, field in schema["properties"].items():
            if field.get("type") in ("integer", "number") and "enum" not in field:
                assert {"minimum", "maximum"} <= field.keys(), f"{section}.{name}"


def test_a_setting_cannot_be_changed_later() -> None:
    config = load_config(environ={})
    with pytest.raises(ValidationError):
        config.media.size = 256  # type: ignore[misc]


def test_a_relative_data_folder_is_made_whole() -> None:
    assert load_config(environ={"VISAVIS_DATA": "here"}).data_dir == Path.cwd() / "here"


def test_variables_of_others_are_left_alone() -> None:
    environ = {"VISAVIS_DEBUG": "1", "VISAVIS_PLANS": "/x", "VISAVIS_WORKER_LOG": "INFO"}
    assert load_config(environ={**environ, "HOME": "/root", "PORT": "1"}).server.port == 8080


def test_every_setting_is_described() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "settings.md").read_text("utf-8")
    assert page == as_markdown(), "visavis settings --markdown > docs/settings.md"
    assert all(row.about.endswith(".") for row in settings(Config()))


def test_secrets_are_not_shown() -> None:
    config = load_config(environ={"VISAVIS_TOKEN": "x" * 16})
    shown = [row.value for row in settings(config)]
    assert shown.count("(set)") == 1 and "x" * 16 not in shown
    assert "x" * 16 not in repr(config)
