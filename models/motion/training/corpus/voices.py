"""Speech with exact phones from flite, festival and espeak-ng.

Timing corrections found by comparing the engines: in espeak-ng the event of a voiceless stop
marks its burst, so p/t/k start 55 ms earlier, and its other labels run some 15 ms late.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import random
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from visavis.models.motion.features import SAMPLE_RATE
from visavis.models.motion.phones import VOICELESS_STOPS, Phone, UnknownPhone, classes_of

ESPEAK_STOP_SHIFT_S = 0.055
ESPEAK_LABEL_SHIFT_S = 0.015


@dataclass(frozen=True)
class Utterance:
    """Speech with its phones.

    Attributes:
        pcm: ``(samples,)`` float32 at 16 kHz in [-1, 1].
        phones: in order.
        voice: which synthesiser and voice.
    """

    pcm: NDArray[np.float32]
    phones: tuple[Phone, ...]
    voice: str


@dataclass(frozen=True)
class FestivalVoice:
    """One festival voice: how to select it, which labels and text encoding it takes."""

    command: str
    table: str
    language: str
    encoding: str


FESTIVAL_VOICES = (
    FestivalVoice("voice_cmu_us_slt_arctic_hts", "english", "en", "ascii"),
    FestivalVoice("voice_kal_diphone", "english", "en", "ascii"),
    FestivalVoice("voice_ked_diphone", "english", "en", "ascii"),
    FestivalVoice("voice_lp_diphone", "italian", "it", "latin-1"),
    FestivalVoice("voice_pc_diphone", "italian", "it", "latin-1"),
    FestivalVoice("voice_msu_ru_nsh_clunits", "russian", "ru", "utf-8"),
    FestivalVoice("voice_czech_dita", "czech", "cs", "iso-8859-2"),
    FestivalVoice("voice_czech_krb", "czech", "cs", "iso-8859-2"),
    FestivalVoice("voice_czech_machac", "czech", "cs", "iso-8859-2"),
    FestivalVoice("voice_czech_ph", "czech", "cs", "iso-8859-2"),
    FestivalVoice("voice_suo_fi_lj_diphone", "finnish", "fi", "latin-1"),
    FestivalVoice("voice_hy_fi_mv_diphone", "finnish", "fi", "latin-1"),
    FestivalVoice("voice_upc_ca_ona_hts", "catalan", "ca", "latin-1"),
)
# A male speaker of Hindi whose diphones are recordings.
LATER_FESTIVAL_VOICES = (
    FestivalVoice("voice_hindi_NSK_diphone", "hindi", "hi", "utf-8"),
    FestivalVoice("voice_marathi_NSK_diphone", "hindi", "hi", "utf-8"),
)
# Voices that tell no phone times: align.py finds them. Of RHVoice only those whose
# licence lets the result be used and changed freely (CMU Arctic recordings, LGPL data).
RHVOICE_VOICES = ("bdl", "clb", "alan", "slt")
# And others of it that read what is spelled as it sounds (LGPL and GPL data): language of
# espeak-ng, which tells the order of the phones.
RHVOICE_OTHERS = {"spomenka": "eo", "elena": "ru", "anatol": "uk", "natalia": "uk"}
PICO_VOICES = {
    "en-US": "en", "en-GB": "en", "de-DE": "de", "es-ES": "es", "fr-FR": "fr", "it-IT": "it",
}  # fmt: skip
ESPEAK_LANGUAGES = {
    "en-us": "en", "en": "en", "en-gb-scotland": "en", "de": "de", "fr": "fr", "es": "es",
    "it": "it", "pt": "pt", "ru": "ru", "pl": "pl", "tr": "tr", "nl": "nl", "sv": "sv",
    "fi": "fi", "cs": "cs", "ca": "ca", "hi": "hi", "ja": "ja",
    "cmn-latn-pinyin": "cmn-latn-pinyin",
}  # fmt: skip
ESPEAK_VARIANTS = (
    "", "f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8",
    "klatt", "klatt2", "klatt3", "klatt4", "whisper", "whisperf", "Andy", "Annie", "steph",
    "linda", "Alex", "adam", "boris", "john", "max", "victor", "grandma", "croak",
)  # fmt: skip


def read_wave(path: Path) -> NDArray[np.float32]:
    """Read 16-bit mono PCM and resample it to 16 kHz, ``(samples,)`` float32."""
    with wave.open(str(path)) as source:
        rate = source.getframerate()
        data = np.frombuffer(source.readframes(source.getnframes()), "<i2")
    return _to_16k(data.astype(np.float32) / 32768.0, rate)


def _to_16k(pcm: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    if rate == SAMPLE_RATE:
        return pcm
    divisor = gcd(rate, SAMPLE_RATE)
    return resample_poly(pcm, SAMPLE_RATE // divisor, rate // divisor).astype(np.float32)


def timed(labels: Sequence[tuple[float, str]], table: str) -> tuple[Phone, ...]:
    """Turn (end time, label) rows into phones, splitting diphthongs and affricates in half."""
    phones: list[Phone] = []
    start = 0.0
    for end, label in labels:
        names, stress = classes_of(label, table)
        step = max(0.0, end - start) / len(names)
        for i, name in enumerate(names):
            if step > 0:
                phones.append(Phone(start + i * step, start + (i + 1) * step, name, stress))
        start = max(start, end)
    return tuple(phones)


def flite(text: str, voice: str, *, stretch: float = 1.0, pitch: float | None = None) -> Utterance:
    """Speak with flite; ``pitch`` is the mean in Hz.

    Raises:
        UnknownPhone: a label has no class.
        FileNotFoundError: flite is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "-psdur", "--setf", f"duration_stretch={stretch:.3f}"]
        if pitch is not None:
            command += ["--setf", f"int_f0_target_mean={pitch:.1f}"]
        done = subprocess.run(
            [*command, "-t", text, "-o", str(path)], capture_output=True, text=True, check=True
        )
        pcm = read_wave(path)
    labels = [(float(end), name) for name, end in (w.split(":") for w in done.stdout.split())]
    return Utterance(pcm, timed(labels, "english"), f"flite/{voice}")


def festival(
    voice: FestivalVoice, texts: Sequence[str], *, stretch: float = 1.0
) -> Iterator[Utterance]:
    """Speak many sentences with one festival voice in one process.

    Raises:
        FileNotFoundError: festival is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"({voice.command})", f"(Parameter.set 'Duration_Stretch {stretch:.3f})"]
        for i, text in enumerate(texts):
            clean = text.replace('"', "").replace("\\", "")
            lines.append(f'(set! u (utt.synth (Utterance Text "{clean}")))')
            lines.append(f'(utt.save.wave u "{folder}/{i}.wav" \'riff)')
            lines.append(f'(utt.save.segs u "{folder}/{i}.lab")')
        script = Path(folder) / "speak.scm"
        script.write_bytes("\n".join(lines).encode(voice.encoding, "ignore"))
        subprocess.run(["festival", "-b", str(script)], capture_output=True, check=False)
        for i in range(len(texts)):
            wav, lab = Path(folder) / f"{i}.wav", Path(folder) / f"{i}.lab"
            if not wav.is_file() or not lab.is_file():
                continue
            rows = [r.split() for r in lab.read_text("latin-1").splitlines() if len(r.split()) > 2]
            try:
                phones = timed([(float(r[0]), r[2]) for r in rows], voice.table)
            except UnknownPhone:
                continue
            yield Utterance(read_wave(wav), phones, f"festival/{voice.command}")


def rhvoice(text: str, voice: str, *, rate: int = 100, pitch: int = 100) -> NDArray[np.float32]:
    """Speak with RHVoice; rate and pitch in percent. Returns 16 kHz samples.

    Raises:
        FileNotFoundError: RHVoice is not installed.
        ValueError: it has no such voice.
    """
    with tempfile.TemporaryDirectory() as folder:
        said, path = Path(folder) / "words.txt", Path(folder) / "speech.wav"
        said.write_text(text)
        command = ["RHVoice-test", "-p", voice, "-r", str(rate), "-t", str(pitch)]
        subprocess.run(
            [*command, "-i", str(said), "-o", str(path)], capture_output=True, check=True
        )
        if not path.is_file() or path.stat().st_size < 1000:
            raise ValueError(f"RHVoice has no voice {voice!r}.")
        return read_wave(path)


def pico(text: str, voice: str, *, rate: int = 100, pitch: int = 100) -> NDArray[np.float32]:
    """Speak with SVOX Pico; rate and pitch in percent. Returns 16 kHz samples.

    Raises:
        FileNotFoundError: Pico is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        marked = f'<speed level="{rate}"><pitch level="{pitch}">{text}</pitch></speed>'
        subprocess.run(
            ["pico2wave", "-l", voice, "-w", str(path), marked], capture_output=True, check=True
        )
        return read_wave(path)


class _EspeakEvent(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    )


class Espeak:
    """espeak-ng through its C library, with the sample position of every phoneme.

    One per process: the library itself is global.

    Raises:
        FileNotFoundError: the library is not installed.
    """

    _EVENT_END, _EVENT_PHONEME = 0, 7

    def __init__(self) -> None:
        found = ctypes.util.find_library("espeak-ng")
        if found is None:
            raise FileNotFoundError("The espeak-ng library is not installed.")
        self._lib = ctypes.CDLL(found)
        self._libc = ctypes.CDLL(None)
        # 2: synchronous retrieval; 1 | 2: phoneme events, with IPA names
        self._rate: int = self._lib.espeak_Initialize(2, 200, None, 3)
        self._chunks: list[NDArray[np.int16]] = []
        self._events: list[tuple[int, str]] = []
        prototype = ctypes.CFUNCTYPE(
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_short),
            ctypes.c_int,
            ctypes.POINTER(_EspeakEvent),
        )
        self._callback = prototype(self._receive)  # kept: the library holds only its address
        self._lib.espeak_SetSynthCallback(self._callback)

    def _receive(self, wav: object, count: int, events: object) -> int:
        if count > 0 and wav:
            self._chunks.append(np.ctypeslib.as_array(wav, (count,)).copy())  # type: ignore[arg-type]
        i = 0
        while events[i].type != self._EVENT_END:  # type: ignore[index]
            event = events[i]  # type: ignore[index]
            if event.type == self._EVENT_PHONEME:
                self._events.append((event.sample, event.string.decode("utf-8", "ignore")))
            i += 1
        return 0

    def speak(
        self, text: str, voice: str, *, rate: int = 165, pitch: int = 50, spread: int = 50
    ) -> Utterance:
        """Speak; ``voice`` as in ``en-us+f3``; pitch and its range 0-99, rate in words/minute.

        Raises:
            UnknownPhone: a label has no class.
            ValueError: there is no such voice.
        """
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}.")
        for parameter, value in ((1, rate), (3, pitch), (4, spread)):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        self._events.clear()
        data = text.encode()
        # Its noise sources use the C library's rand(): the same words give the same sound.
        self._libc.srand(1)
        self._lib.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)  # 1: UTF-8
        self._lib.espeak_Synchronize()
        if not self._chunks:
            raise ValueError("espeak-ng gave no sound.")
        pcm = np.concatenate(self._chunks).astype(np.float32) / 32768.0
        seconds = len(pcm) / self._rate
        return Utterance(_to_16k(pcm, self._rate), self._phones(seconds), f"espeak/{voice}")

    def _phones(self, seconds: float) -> tuple[Phone, ...]:
        """Order, correct and close up the events."""
        rows: list[tuple[float, str]] = []
        for sample, label in self._events:
            names = classes_of(label, "ipa")[0] if label else ("SIL",)
            if not names:
                continue  # a mark of the phone before
            at = sample / self._rate
            shift = ESPEAK_LABEL_SHIFT_S
            if names[0] in VOICELESS_STOPS and rows:
                shift = ESPEAK_STOP_SHIFT_S
            at = max(0.0, at - shift)
            if rows:
                at = max(at, rows[-1][0] + 0.015)
            rows.append((at, label or "_"))
        ends = [at for at, _ in rows[1:]] + [seconds]
        rows_by_end = [(end, label) for end, (_, label) in zip(ends, rows, strict=True)]
        first = [(rows[0][0], "_")] if rows and rows[0][0] > 0 else []
        return timed(first + rows_by_end, "ipa")


def installed() -> dict[str, bool]:
    """Say which synthesisers this machine has."""
    return {
        "flite": shutil.which("flite") is not None,
        "festival": shutil.which("festival") is not None,
        "espeak": ctypes.util.find_library("espeak-ng") is not None,
        "rhvoice": shutil.which("RHVoice-test") is not None,
        "pico": shutil.which("pico2wave") is not None,
    }


def random_espeak_voice(rng: random.Random) -> tuple[str, str]:
    """Return (voice with variant, language of the text)."""
    language = rng.choice(tuple(ESPEAK_LANGUAGES))
    if rng.random() < 0.3:
        language = "en-us"
    variant = rng.choice(ESPEAK_VARIANTS)
    name = f"{language}+{variant}" if variant else language
    return name, ESPEAK_LANGUAGES[language]
