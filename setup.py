"""Where the packages lie: the folders at the top are installed as ``visavis.*``.

``models`` and ``web`` would collide with every other project in a shared site-packages, so each
is a package of ``visavis``. Their list is made here, which pyproject.toml cannot express.
"""

from setuptools import find_packages, setup

_ROOMS = ("streamer", "engines", "models", "web", "benchmarks")

setup(
    packages=[f"visavis.{name}" for name in find_packages(include=[f"{r}*" for r in _ROOMS])],
    package_dir={f"visavis.{room}": room for room in _ROOMS},
)
