"""Phone classes of the lips, and how each speech synthesiser's labels map to them.

A class stands for what the face does, not for a phoneme of one language: front rounded vowels,
bilabial fricatives and trills have classes of their own. Diphthongs and affricates are split.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

VOWELS = (
    "AA", "AE", "AH", "AX", "AO", "OO", "EH", "EE", "ER", "IH", "IY", "UH", "UW", "YY", "OE", "IX",
)  # fmt: skip
CONSONANTS = (
    "P", "B", "M", "BH", "F", "V", "TH", "DH", "T", "D", "N", "S", "Z", "SH", "ZH", "CH", "JH",
    "K", "G", "NG", "L", "R", "RR", "W", "Y", "NY", "HH", "X", "Q",
)  # fmt: skip
CLASSES: tuple[str, ...] = ("SIL", *VOWELS, *CONSONANTS)
CLASS_INDEX = {name: i for i, name in enumerate(CLASSES)}
BILABIAL = frozenset({"P", "B", "M"})
LABIODENTAL = frozenset({"F", "V"})
VOICELESS_STOPS = frozenset({"P", "T", "K"})


@dataclass(frozen=True)
class Phone:
    """One stretch of one class.

    Attributes:
        start: seconds.
        end: seconds.
        name: one of ``CLASSES``.
        stress: 0 or 1.
    """

    start: float
    end: float
    name: str
    stress: int = 0


class UnknownPhone(ValueError):
    """A synthesiser used a label that has no class here."""


_ENGLISH: dict[str, str] = {
    "aa": "AA", "ae": "AE", "ah": "AH", "ao": "AO", "aw": "AA UW", "ax": "AX", "axr": "ER",
    "ay": "AA IH", "b": "B", "ch": "CH", "d": "D", "dh": "DH", "dx": "D", "eh": "EH", "el": "L",
    "em": "M", "en": "N", "er": "ER", "ey": "EE IH", "f": "F", "g": "G", "hh": "HH", "hv": "HH",
    "ih": "IH", "iy": "IY", "jh": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "ng": "NG",
    "nx": "N", "ow": "OO UH", "oy": "AO IH", "p": "P", "r": "R", "s": "S", "sh": "SH", "t": "T",
    "th": "TH", "uh": "UH", "uw": "UW", "v": "V", "w": "W", "y": "Y", "z": "Z", "zh": "ZH",
    "pau": "SIL", "sil": "SIL", "h#": "SIL", "brth": "SIL", "ssil": "SIL",
}  # fmt: skip

# SAMPA-like labels shared by the Italian, Catalan, Czech and Finnish voices.
_SAMPA: dict[str, str] = {
    "a": "AA", "e": "EE", "E": "EH", "i": "IY", "o": "OO", "O": "AO", "u": "UW", "y": "YY",
    "@": "AX", "ax": "AX", "ae": "AE", "{": "AE", "oe": "OE", "9": "OE", "2": "OE",
    "j": "Y", "w": "W", "p": "P", "b": "B", "t": "T", "d": "D", "k": "K", "g": "G",
    "ts": "T S", "dz": "D Z", "tS": "CH", "dZ": "JH", "tz": "T S", "f": "F", "v": "V", "s": "S",
    "z": "Z", "S": "SH", "Z": "ZH", "x": "X", "h": "HH", "m": "M", "n": "N", "J": "NY", "L": "L",
    "ng": "NG", "N": "NG", "l": "L", "r": "RR", "rr": "RR", "B": "BH", "D": "DH", "G": "X",
    "#": "SIL", "_": "SIL", "pau": "SIL", "d_": "D", "nf": "N", "uw": "UW", "iy": "IY",
}  # fmt: skip
_CZECH: dict[str, str] = {
    **_SAMPA,
    "e": "EH", "i": "IH", "i:": "IY", "o": "AO", "t~": "T Y", "d~": "D Y", "s~": "SH", "z~": "ZH",
    "c": "T S", "c~": "CH", "n~": "NY", "n*": "NG", "m*": "M", "r~": "RR ZH", "r~*": "RR SH",
    "dz~": "JH", "h": "HH", "g": "G", "ch": "X",
}  # fmt: skip
_FINNISH: dict[str, str] = {**_SAMPA, "{": "AE", "@": "AE", "A": "AA", "7": "OE"}
_CATALAN: dict[str, str] = {**_SAMPA, "y": "Y", "uax": "W AX", "ll": "L", "ny": "NY", "bB": "BH"}
_RUSSIAN: dict[str, str] = {
    "a": "AH", "aa": "AA", "ae": "AX", "ay": "AX", "e": "EH", "ee": "EE", "i": "IH", "ii": "IY",
    "o": "AO", "oo": "OO", "u": "UH", "uu": "UW", "ur": "UH", "y": "IX", "yy": "IX", "ur2": "UH",
    "b": "B", "bb": "B", "c": "T S", "ch": "CH", "d": "D", "dd": "D", "f": "F", "ff": "F",
    "g": "G", "gg": "G", "h": "X", "hh": "X", "j": "Y", "k": "K", "kk": "K", "l": "L", "ll": "L",
    "m": "M", "mm": "M", "n": "N", "nn": "N", "p": "P", "pp": "P", "r": "RR", "rr": "RR",
    "s": "S", "ss": "S", "sch": "SH", "sh": "SH", "t": "T", "tt": "T", "v": "V", "vv": "V",
    "z": "Z", "zh": "ZH", "zz": "Z", "pau": "SIL", "#": "SIL", "ww": "W", "w": "W",
}  # fmt: skip
_HINDI: dict[str, str] = {
    "a": "AH", "aa": "AA", "ih": "IH", "iy": "IY", "uh": "UH", "uw": "UW", "eh": "EE", "ay": "AE",
    "oh": "OO", "ow": "AO", "rx": "R", "k": "K", "kh": "K", "g": "G", "gh": "G", "ng": "NG",
    "ch": "CH", "chh": "CH", "j": "JH", "jh": "JH", "nj": "NY", "T": "T", "Th": "T", "D": "D",
    "Dh": "D", "N": "N", "th": "T", "thh": "T", "dh": "D", "dhh": "D", "n": "N", "p": "P",
    "ph": "P", "f": "F", "b": "B", "bh": "B", "m": "M", "y": "Y", "r": "RR", "l": "L", "v": "V",
    "sh": "SH", "shh": "SH", "s": "S", "h": "HH", "L": "L", "pau": "SIL", "#": "SIL",
}  # fmt: skip
_IPA: dict[str, str] = {
    "a": "AA", "ɑ": "AA", "ɒ": "AO", "æ": "AE", "ɐ": "AH", "ʌ": "AH", "ə": "AX", "ɘ": "AX",
    "ɵ": "OE", "ɜ": "ER", "ɝ": "ER", "ɚ": "ER", "ɔ": "AO", "o": "OO", "ɤ": "AH", "ɛ": "EH",
    "e": "EE", "ɪ": "IH", "i": "IY", "ᵻ": "IH", "ɨ": "IX", "ɯ": "IX", "ʊ": "UH", "u": "UW",
    "ʉ": "UW", "y": "YY", "ʏ": "YY", "ø": "OE", "œ": "OE", "ɞ": "OE", "p": "P", "b": "B",
    "m": "M", "ɱ": "M", "β": "BH", "ɸ": "BH", "f": "F", "v": "V", "ʋ": "V", "θ": "TH", "ð": "DH",
    "t": "T", "d": "D", "ʈ": "T", "ɖ": "D", "n": "N", "ɳ": "N", "ɾ": "D", "s": "S", "z": "Z",
    "ʂ": "SH", "ʐ": "ZH", "ʃ": "SH", "ʒ": "ZH", "ɕ": "SH", "ʑ": "ZH", "k": "K", "g": "G",
    "ɡ": "G", "c": "K", "ɟ": "G", "q": "K", "ŋ": "NG", "ɲ": "NY", "ɴ": "NG", "l": "L", "ɫ": "L",
    "ɭ": "L", "ʎ": "L", "ɬ": "L", "r": "RR", "ɹ": "R", "ɻ": "R", "ʀ": "RR", "ʁ": "X", "w": "W",
    "ʍ": "W", "ɥ": "YY", "j": "Y", "ç": "X", "x": "X", "ɣ": "X", "χ": "X", "ħ": "HH", "h": "HH",
    "ɦ": "HH", "ʔ": "Q", "ʕ": "Q", "ɰ": "Y", "ʝ": "Y", "ɽ": "D",
}  # fmt: skip
_IPA_AFFRICATES = {
    "tʃ": "CH", "dʒ": "JH", "tɕ": "CH", "dʑ": "JH", "ts": "T S", "dz": "D Z", "tʂ": "CH",
    "dʐ": "JH", "pf": "P F", "ɔø": "AO IH",
}  # fmt: skip
_TABLES = {
    "english": _ENGLISH,
    "italian": _SAMPA,
    "catalan": _CATALAN,
    "czech": _CZECH,
    "finnish": _FINNISH,
    "russian": _RUSSIAN,
    "hindi": _HINDI,
}


def classes_of(label: str, table: str) -> tuple[tuple[str, ...], int]:
    """Return the classes one label stands for and its stress (0 or 1).

    Args:
        label: as the synthesiser wrote it.
        table: ``english``, ``italian``, ``catalan``, ``czech``, ``finnish``, ``russian``,
            ``hindi`` (labels of flite and festival) or ``ipa`` (espeak-ng).

    Raises:
        UnknownPhone: the label has no class.
    """
    if table == "ipa":
        return _ipa_classes(label), 0
    names = _TABLES[table]
    if label in names:
        return tuple(names[label].split()), 0
    bare = label.rstrip(":").rstrip("012345").rstrip(":")
    if bare in names:
        return tuple(names[bare].split()), int(label.endswith("1"))
    raise UnknownPhone(f"The phone label {label!r} of the {table} voices is not known.")


def _ipa_classes(label: str) -> tuple[str, ...]:
    """Split an IPA name as espeak-ng gives it (perhaps truncated at 8 bytes).

    A name of marks alone (palatalisation, length, a tone) is no phone: the result is empty.
    """
    plain = unicodedata.normalize("NFD", label)
    kept = "".join(c for c in plain if c in _IPA)
    if not kept:
        if any(c in "_|‖" for c in label):
            return ("SIL",)
        if any(unicodedata.category(c) == "Ll" for c in label):
            raise UnknownPhone(f"The IPA label {label!r} is not known.")
        return ()
    if kept in _IPA_AFFRICATES:
        return tuple(_IPA_AFFRICATES[kept].split())
    return tuple(_IPA[c] for c in kept[:3])


def timed_arpabet(labels: Sequence[tuple[float, float, str]], seconds: float) -> list[Phone]:
    """Turn aligned ARPAbet rows (start, end, name) into phones, silence in the gaps.

    Raises:
        UnknownPhone: a name has no class.
    """
    phones: list[Phone] = []
    at = 0.0
    for start, end, label in labels:
        if start > at + 1e-3:
            phones.append(Phone(at, start, "SIL"))
        names, stress = classes_of(label.rstrip("012").lower(), "english")
        step = (end - start) / len(names)
        phones += [
            Phone(start + i * step, start + (i + 1) * step, n, stress) for i, n in enumerate(names)
        ]
        at = end
    if seconds > at:
        phones.append(Phone(at, seconds, "SIL"))
    return phones
