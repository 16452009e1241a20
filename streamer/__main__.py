"""``python -m visavis.streamer`` is the ``visavis`` command."""

from visavis.streamer.cli.entry import main

main()
