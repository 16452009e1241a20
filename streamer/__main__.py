"""``python -m visavis.streamer`` is the ``visavis`` command."""

from visavis.streamer.commands.main import main

main()
