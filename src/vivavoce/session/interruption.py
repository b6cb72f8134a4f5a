"""Two-stage barge-in, an operator's option: noise and "uh-huh" do not throw an answer away.

    Onset, while a response runs ─▶ undecided: the answer is paused, and the client hears of nothing
                                       │
                                       ├─ speech lasts, or words are recognised ─▶ speech_started; the answer is cut off
                                       └─ silence, and no words in it ───────────▶ the answer goes on where it was paused

The engine hears the speech from its onset on (`Listen`), and may tell words as it hears them (`WordsHeard`). When it is
silent again, an engine that transcribes is asked what was said: a short "stop" is no noise. What is said to show that one
listens (`BACKCHANNELS`) interrupts nobody, unless it lasts. Once the turn is confirmed it is one like any other: it began at
its onset, and nothing that was said since is lost.
"""

from __future__ import annotations

import re
from typing import Final

from vivavoce.audio import ms_to_samples
from vivavoce.engine_api import SpeechScore, TranscriptDone, TranscriptFailed, WordsHeard
from vivavoce.protocol.config import TurnDetection
from vivavoce.session.answering import Answering
from vivavoce.session.listening import Listening
from vivavoce.session.state import State
from vivavoce.session.turns import ONSET_WINDOWS, WINDOW_SAMPLES, Edge, End, Onset, Resumption, is_silence, is_speech

HUSH_SAMPLES: Final = ms_to_samples(200)
"""Silence after which an undecided speaker has said all."""
PATIENCE_SECONDS: Final = 2.0
"""So long an answer waits for an engine that does not say what was said, or for a client that sends no more audio."""

_MURMURS: Final = """
    ah aha alright cool er exactly gotcha great hm hmm huh mhm mhmm mm mmhm mmhmm mmm nice oh ok okay really right sure uh
    uhhuh um wow yeah yep yes yup
    achso genau ja klar stimmt oui ouais voilà sí si vale claro sì certo はい うん ええ
"""
BACKCHANNELS: Final = frozenset(_MURMURS.split())
"""What listeners say to show that they listen, without hyphens: in English, and the plainest in a few other languages."""


def has_words(text: str) -> bool:
    """Whether there is more in it than a listener's murmur."""
    words = re.findall(r"[^\W\d_]+|\d+", text.lower().replace("-", "").replace("'", ""))
    return any(word not in BACKCHANNELS for word in words)


class _Undecided:
    """Speech of which it is not known yet whether it interrupts."""

    def __init__(self, onset: Onset, now: float) -> None:
        self.onset = onset
        self.speech_samples = ONSET_WINDOWS * WINDOW_SAMPLES
        self.silence_samples = 0
        self.asked = False
        """The engine was asked what was said."""
        self.end: End | None = None
        """The turn is over already, if it was one."""
        self.heard = ""
        self.position_samples = onset.start_samples
        """How far it was scored."""
        self.decide_by = now + PATIENCE_SECONDS


class Interrupting:
    """Decides whether speech cuts off an answer."""

    def __init__(self, state: State, listening: Listening, answering: Answering) -> None:
        self._state = state
        self._listening = listening
        self._answering = answering
        self._case: _Undecided | None = None
        self._end: End | None = None
        """Of a turn that was confirmed when it was over."""

    @property
    def undecided(self) -> bool:
        """Somebody speaks, and nobody knows yet whether it counts."""
        return self._case is not None

    def begin(self, onset: Onset) -> bool:
        """Somebody speaks. False if that is a turn and needs no proof."""
        self._case = None
        if not (self._state.confirms_barge_in and self._answering.busy):
            return False
        self._listening.start_turn(onset, tentative=True)
        self._answering.pause()
        self._case = _Undecided(onset, self._state.now)
        return True

    def weigh(self, score: SpeechScore, edge: Edge | None) -> None:
        """A window's score, and the edge that it made."""
        case = self._case
        assert case is not None
        case.position_samples = score.end_samples
        if not case.asked:
            case.decide_by = self._state.now + PATIENCE_SECONDS
        if isinstance(edge, Resumption):
            self._listening.go_on(edge)
        if isinstance(edge, End):
            self.end(edge)
        elif case.end is None and (vad := self._state.turn_detection) is not None:
            self._count(case, score.probability, vad)

    def end(self, edge: End) -> None:
        """By silence or by a turn-end model's score, the turn would be over."""
        case = self._case
        assert case is not None
        case.end = edge
        self._hush(case)

    def on_words(self, event: WordsHeard) -> None:
        """The engine has heard some words of the speaker."""
        if self._case is not None and event.item_id == self._listening.item_id:
            self._case.heard += event.text
            if has_words(self._case.heard):
                self._confirm(self._case)

    def on_transcript(self, event: TranscriptDone | TranscriptFailed) -> None:
        """What was said, as far as it was said: the verdict, unless the speaker has gone on."""
        case = self._case
        if case is None or not case.asked or event.item_id != self._listening.item_id:
            return
        if isinstance(event, TranscriptDone) and has_words(event.text):
            self._confirm(case)
        else:
            self._dismiss()

    def deadline(self) -> float | None:
        """When an answer has waited long enough."""
        return None if self._case is None else self._case.decide_by

    def settle(self) -> End | None:
        """What follows from where things stand. The end of the turn, if it was confirmed when it was over."""
        case = self._case
        if case is not None:
            if not self._listening.tentative:  # the client committed or cleared it, or turned the detection off
                self._case = None
                self._answering.resume()
            elif not self._answering.busy:  # nothing is left to interrupt
                self._confirm(case)
            elif self._state.now >= case.decide_by:
                self._dismiss()
        end, self._end = self._end, None
        return end

    # --- steps ---

    def _count(self, case: _Undecided, probability: float, vad: TurnDetection) -> None:
        if is_silence(probability, vad):
            case.silence_samples += WINDOW_SAMPLES
            if case.silence_samples >= HUSH_SAMPLES:
                self._hush(case)
            return
        # What was asked about was not all: the engine is told anew (`Listening.on_speech_score`), and asked again.
        case.silence_samples = 0
        case.asked = False
        if is_speech(probability, vad):
            case.speech_samples += WINDOW_SAMPLES
        if case.speech_samples >= ms_to_samples(self._state.setup.confirm_barge_in_ms or 0):
            self._confirm(case)

    def _hush(self, case: _Undecided) -> None:
        """The speaker is silent: what was it?"""
        if case.asked:
            return
        case.asked = True
        if self._state.setup.capabilities.transcribes:
            self._listening.ask_words(case.end.end_samples if case.end else case.position_samples)
        else:
            self._dismiss()

    def _confirm(self, case: _Undecided) -> None:
        """It is a turn, and it began at its onset."""
        self._case, self._end = None, case.end
        self._listening.announce()
        if self._state.confirms_barge_in:
            self._answering.interrupt()
        else:
            self._answering.resume()  # the client has changed its mind meanwhile: speech interrupts nothing

    def _dismiss(self) -> None:
        """It was nothing."""
        assert self._case is not None
        self._listening.dismiss(self._case.position_samples)
        self._case = None
        self._answering.resume()
