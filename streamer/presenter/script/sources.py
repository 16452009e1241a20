"""Sound that is not a microphone: a script that a voice speaks, or a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.errors import VisavisError
from visavis.streamer.media.files.audio_file import read_blocks
from visavis.streamer.media.timeline import RATE
from visavis.streamer.presenter.script.script import Step

BLOCK = RATE // 100
_AHEAD = 2  # paragraphs that are spoken before their turn
_GAP_S = 0.45  # of silence between paragraphs
_LEAD_S = 0.6  # before the first word
_TAIL_S = 1.2  # after the last one
_MOST_LATE = RATE // 2  # samples; a process that was stopped does not catch up


@dataclass(frozen=True)
class Mark:
    """Something that happens at a block of sound.

    Attributes:
        step: what.
        seconds: how long what is said takes.
    """

    step: Step
    seconds: float = 0.0


@dataclass(frozen=True)
class Block:
    """Sound and what happens when it begins.

    Attributes:
        samples: mono int16 at 48 kHz.
        marks: what happens.
        said: of the samples, how many a program said; the rest is padding.
    """

    samples: NDArray[np.int16]
    marks: tuple[Mark, ...] = ()
    said: int = 0


class Source(Protocol):
    """Where sound comes from."""

    problem: str
    paused: bool

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        ...

    def take(self, now: float) -> list[Block]:
        """Return blocks of mono int16 at 48 kHz that are due by ``now``."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


@runtime_checkable
class Followed(Protocol):
    """A source that wants to know what becomes of its sound."""

    def placed(self, media_time: int, block: Block) -> None:
        """Take at which media time, in samples, a block begins."""
        ...

    def shown(self, media_time: int) -> None:
        """Take up to which media time, in samples, everything was shown."""
        ...


class Paced:
    """Hands out sound at the pace of the clock; subclasses make it.

    Attributes:
        block_length: samples of a block.
        paused: nothing goes on, silence comes out.
        problem: a sentence about what is wrong now.
    """

    block_length = BLOCK

    def __init__(self) -> None:
        self.paused = False
        self.problem = ""
        self.ended = False
        self._began: float | None = None
        self._given = 0

    def take(self, now: float) -> list[Block]:
        """Return the blocks that are due by ``now``."""
        if self._began is None:
            self._began = now
        due = round((now - self._began) * RATE)
        if due - self._given > _MOST_LATE:
            self._given = due - self.block_length
        blocks: list[Block] = []
        while self._given + self.block_length <= due:
            self._given += self.block_length
            silence = Block(np.zeros(self.block_length, np.int16))
            blocks.append(silence if self.paused else self._next())
        return blocks

    def _next(self) -> Block:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to give back."""


class FileSource(Paced):
    """A sound file, once.

    Args:
        path: anything FFmpeg can read.

    Raises:
        BadRequest: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._blocks = self._read(path)
        self._first: Block | None = next(self._blocks)
        self._rest = round(_TAIL_S * RATE)

    @staticmethod
    def _read(path: Path) -> Iterator[Block]:
        for _ in range(round(_LEAD_S * RATE) // BLOCK):
            yield Block(np.zeros(BLOCK, np.int16))
        for samples in read_blocks(path, RATE, block=BLOCK):
            whole = np.pad(samples, (0, BLOCK - len(samples)))
            yield Block(np.rint(whole * 32_767).astype(np.int16))

    def _next(self) -> Block:
        first, self._first = self._first, None
        try:
            return first if first is not None else next(self._blocks)
        except StopIteration:
            self._rest -= BLOCK
            self.ended = self._rest <= 0
            return Block(np.zeros(BLOCK, np.int16))


class ScriptSource(Paced):
    """A script, spoken paragraph by paragraph, each ready before its turn.

    Args:
        steps: what happens.
        speak: makes sound of a text.
    """

    def __init__(self, steps: tuple[Step, ...], speak: Callable[[str], NDArray[np.int16]]) -> None:
        super().__init__()
        self._steps = steps
        self._speak = speak
        self._pool = ThreadPoolExecutor(1, "voice")
        self._spoken: dict[int, Future[NDArray[np.int16]]] = {}
        self._at = 0  # the step whose turn it is
        self._sound: NDArray[np.int16] = np.zeros(round(_LEAD_S * RATE), np.int16)
        self._marks: list[Mark] = []
        self._closing = False
        self._look_ahead()

    def check(self) -> None:
        """Wait for the first sentence, so that a voice that cannot speak is told at once.

        Raises:
            BadRequest: it cannot; the sentence says why.
        """
        for future in self._spoken.values():
            future.result()  # the voice has a limit of its own
            return

    def _look_ahead(self) -> None:
        coming = [i for i, s in enumerate(self._steps) if i >= self._at and s.kind == "say"]
        for i in coming[: _AHEAD + 1]:
            if i not in self._spoken:
                self._spoken[i] = self._pool.submit(self._speak, self._steps[i].text)

    def _advance(self) -> bool:
        """Take the next step; False while the voice is not ready."""
        if self._at >= len(self._steps):
            if self._closing:
                self.ended = True
            self._closing = True
            self._sound = np.zeros(round(_TAIL_S * RATE), np.int16)
            return True
        step = self._steps[self._at]
        if step.kind == "say":
            future = self._spoken[self._at]
            if not future.done():
                return False
            del self._spoken[self._at]
            try:
                said = future.result()
            except VisavisError as error:
                self.problem = str(error)
                said = np.zeros(0, np.int16)
            self._marks.append(Mark(step, len(said) / RATE))
            self._sound = np.concatenate([said, np.zeros(round(_GAP_S * RATE), np.int16)])
        elif step.kind == "pause":
            self._sound = np.zeros(round(step.seconds * RATE), np.int16)
        else:
            self._marks.append(Mark(step))
        self._at += 1
        self._look_ahead()
        return True

    def _next(self) -> Block:
        while not len(self._sound) and not self.ended and self._advance():
            pass
        part, self._sound = self._sound[:BLOCK], self._sound[BLOCK:]
        marks, self._marks = tuple(self._marks), []
        return Block(np.pad(part, (0, BLOCK - len(part))), marks)

    def close(self) -> None:
        """Stop speaking."""
        self._pool.shutdown(wait=False, cancel_futures=True)
