from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.dictionaries(st.sampled_from(["server.port", "media.fps", "media.size"]), st.text()))
def test_any_text_is_a_config_or_a_sentence(values: dict[str, str]) -> None:
    try:
        assert isinstance(load_config(environ={}, overrides=values), Config)
    except BadRequest as error:
        assert str(error).endswith(".")
