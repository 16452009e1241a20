# make run    install into .venv and serve http://127.0.0.1:8080
# make test   install what the tests need and run them all
# make test-gpu   the tests that need an NVIDIA GPU
# make lint   style and types
# make release   wheel, sdist, SBOM and their sums in dist/; signed with SIGNING_KEY=FILE
# make bundle   a folder in dist/ that installs where there is no network, with pinned hashes
# make fuzz   search for inputs that break a parser, an hour (SECONDS=600: ten minutes)
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python3.13 python3.14; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
	&& echo $$p && break; done)
# A system package is installed only by root or by a sudo that asks nothing.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
# $(call apt,PACKAGES,WHY): install, or say in one line what is missing.
apt = { command -v apt-get >/dev/null 2>&1 && echo "installing $(1) ($(2))" \
	&& { $(SUDO) apt-get install -y -q --no-install-recommends $(1) >/dev/null 2>&1 \
	|| { $(SUDO) apt-get update -q >/dev/null 2>&1 \
	&& $(SUDO) apt-get install -y -q --no-install-recommends $(1) >/dev/null 2>&1; }; }; } \
	|| { echo "Missing: $(2). Install it with: apt-get install $(1) (or your system's equivalent)"; false; }
GSTREAMER = python3-gi gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-tools \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-nice gstreamer1.0-libav
CHROMIUM = command -v chromium || command -v chromium-browser || command -v google-chrome

.PHONY: run test test-gpu lint types release sign bundle fuzz clean
run: $(VENV)/.run
	@$(BIN)/visavis serve $(ARGS)

test: $(VENV)/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/python -m tests.stages $(PYTEST_ARGS)

test-gpu: $(VENV)/.test
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[cuda,tensorrt,torch]'
	@# onnxruntime lies in the same folder; the last one installed is the one that runs.
	@$(BIN)/python -m pip install -q --disable-pip-version-check --force-reinstall --no-deps onnxruntime-gpu
	@$(BIN)/python -m pytest tests/gpu $(PYTEST_ARGS)

lint: $(VENV)/.test types
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

# pyright knows the packages by their installed names only below a tree of links (pyproject.toml).
types: $(VENV)/.test
	@mkdir -p build/types/visavis
	@for room in streamer engines models web benchmarks; do ln -sfn ../../../$$room build/types/visavis/$$room; done
	$(BIN)/pyright

# The SBOM lists what an installation of this very wheel brings, not what developers have.
SBOM = cyclonedx-py environment --pyproject pyproject.toml --mc-type application \
	--output-reproducible --output-format JSON
release: $(BIN)/python
	@rm -rf dist build/release && mkdir -p dist
	@$(PYTHON) -m venv build/release/tools && $(PYTHON) -m venv build/release/installed
	@build/release/tools/bin/python -m pip install -q --disable-pip-version-check build==1.5.1 cyclonedx-bom==7.5.0
	@build/release/tools/bin/python -m build -q --outdir dist .
	@build/release/installed/bin/python -m pip install -q --disable-pip-version-check dist/*.whl
	@build/release/tools/bin/$(SBOM) --output-file "$$(ls dist/*.whl | sed 's/-py3-.*/.cdx.json/')" \
		build/release/installed/bin/python
	@cd dist && sha256sum * > SHA256SUMS
	@$(MAKE) --no-print-directory sign && ls -l dist

# An SSH key of the releaser's, by OpenSSH's own signatures of files: SECURITY.md says how to verify.
SIGN_IN ?= dist
sign:
	@if [ -n "$(SIGNING_KEY)" ]; then rm -f $(SIGN_IN)/SHA256SUMS.sig \
		&& ssh-keygen -q -Y sign -n visavis-release -f "$(SIGNING_KEY)" $(SIGN_IN)/SHA256SUMS; \
	else echo "$(SIGN_IN)/SHA256SUMS is not signed: make $(or $(MAKECMDGOALS),sign) SIGNING_KEY=FILE"; fi

# Everything by the versions and hashes of uv.lock, for this system and this version of Python.
BUNDLE_EXTRAS ?= provenance keyring
bundle: $(BIN)/python
	@rm -rf build/bundle && mkdir -p build/bundle/wheels dist
	@$(PYTHON) -m venv build/bundle/tools
	@build/bundle/tools/bin/python -m pip install -q --disable-pip-version-check build==1.5.1 uv==0.13.9
	@build/bundle/tools/bin/python -m build -q --outdir build/bundle/wheels . && rm build/bundle/wheels/*.tar.gz
	@build/bundle/tools/bin/uv export -q --frozen --no-dev --no-emit-project --no-header --no-annotate \
		$(BUNDLE_EXTRAS:%=--extra %) --format requirements-txt -o build/bundle/requirements.txt
	@build/bundle/tools/bin/python -m pip download -q --disable-pip-version-check --no-deps \
		--require-hashes --only-binary :all: -r build/bundle/requirements.txt -d build/bundle/wheels
	@cd build/bundle && rm -rf tools && wheel=$$(basename wheels/visavis-*.whl) \
		&& version=$$(echo "$$wheel" | cut -d- -f2) \
		&& echo "visavis==$$version --hash=sha256:$$(sha256sum wheels/$$wheel | cut -d' ' -f1)" >> requirements.txt \
		&& sed "s/@PYTHON@/$$(basename $(PYTHON))/" ../../docs/deploy/install-offline.sh > install.sh \
		&& sha256sum install.sh requirements.txt wheels/* > SHA256SUMS && cd ../.. \
		&& target=dist/visavis-$$version-offline && rm -rf $$target && mv build/bundle $$target \
		&& $(MAKE) --no-print-directory sign SIGN_IN=$$target && du -sh $$target

SECONDS ?= 3600
fuzz: $(VENV)/.test
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[fuzz]' || echo "without Atheris: Hypothesis searches"
	@$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS)

clean:
	rm -rf $(VENV) build dist *.egg-info

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 to 3.14 is needed: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { $(call apt,python3-venv,the venv module of Python) && $(PYTHON) -m venv $(VENV); }

$(VENV)/.run: $(BIN)/python pyproject.toml
	@echo "installing Vis-à-vis into $(VENV) (about two minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@$(BIN)/python -c 'import cv2' 2>/dev/null || $(call apt,libgl1 libglib2.0-0,libGL for reading photos)
	@echo "compiling the inner loops for this machine"
	@# What an earlier layout compiled names modules that are gone.
	@find models -name '*.nb[ic]' -delete
	@$(BIN)/python -m visavis.models.warm >/dev/null
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[test]'
	@{ $(CHROMIUM); } >/dev/null 2>&1 || $(call apt,chromium,Chromium for the browser tests)
	@# Debian starts both as services; the tests start their own.
	@{ command -v nginx && command -v caddy; } >/dev/null 2>&1 || { $(call apt,nginx-light caddy,proxies for the tests of docs/deploy.md) \
		&& { ! command -v systemctl >/dev/null 2>&1 || $(SUDO) systemctl disable --now nginx caddy >/dev/null 2>&1; }; } || true
	@{ command -v turnserver && command -v nft && command -v ip; } >/dev/null 2>&1 || { $(call apt,coturn nftables iproute2,a TURN server and routers for the tests of docs/deploy.md) \
		&& { ! command -v systemctl >/dev/null 2>&1 || $(SUDO) systemctl disable --now coturn >/dev/null 2>&1; }; } || true
	@{ command -v flite && command -v espeak-ng; } >/dev/null 2>&1 || $(call apt,flite espeak-ng,voices for the speech tests) || true
	@{ command -v gnome-keyring-daemon && command -v dbus-run-session; } >/dev/null 2>&1 || $(call apt,gnome-keyring dbus,a keyring for the vault tests) || true
	@command -v strace >/dev/null 2>&1 || $(call apt,strace,strace for the proof that nothing calls out) || true
	@# Where PipeWire stands in for PulseAudio already, installing PulseAudio would remove that.
	@command -v pactl >/dev/null 2>&1 || $(call apt,pulseaudio pulseaudio-utils libasound2-plugins libportaudio2 libpulse0,PulseAudio and PortAudio for the presenter tests) || true
	@{ command -v pw-v4l2 && command -v gst-launch-1.0; } >/dev/null 2>&1 || $(call apt,pipewire pipewire-bin pipewire-v4l2 wireplumber gstreamer1.0-pipewire gstreamer1.0-tools gstreamer1.0-plugins-base dbus,PipeWire for the virtual camera tests) || true
	@# Stock WebRTC clients: GStreamer's by the system's Python, two of Node's, two players.
	@gst-inspect-1.0 nicesrc >/dev/null 2>&1 && gst-inspect-1.0 webrtcbin >/dev/null 2>&1 && /usr/bin/python3 -c 'import gi' 2>/dev/null || $(call apt,$(GSTREAMER),GStreamer for tests/interop) || true
	@{ command -v node && command -v npm; } >/dev/null 2>&1 || $(call apt,nodejs npm,Node.js for tests/interop) || true
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix tests/interop \
		|| echo "Missing: the npm packages of tests/interop. Install them with: npm ci --prefix tests/interop"
	@touch $@
