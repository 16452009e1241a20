"""``python -m streamer`` is the ``visavis`` command."""

from streamer.cli import main

main()
