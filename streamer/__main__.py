"""``python -m visavis.streamer`` is the ``visavis`` command."""

from visavis.streamer.cli.main import main

main()
