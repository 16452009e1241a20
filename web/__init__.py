"""Static pages and the embeddable client, served by the streamer."""

from pathlib import Path

STATIC_DIR = Path(__file__).parent / "static"
