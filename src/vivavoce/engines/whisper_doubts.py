"""What Whisper says that nobody said.

Whisper learned from subtitles: on silence, breath and noise it writes what stands under silence there ("Thanks for
watching!"), or one phrase over and over. It often knows better: each segment comes with the probability that nobody speaks
(`no_speech_prob`) and the mean log probability of its tokens, and text that repeats itself compresses well. The limits for
these three are those of Whisper's own decoder (openai/whisper, `transcribe.py`): 0.6, -1.0 and 2.4.

Alone they are not enough: small and turbo models are sure of what they invent. So a segment has three fates. What is plainly
invented is dropped, what is plainly said is kept, and in doubt a voice activity detector listens to the very sound.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import cache
from typing import Final

import numpy as np
from msgspec import Struct

from vivavoce.audio import Samples
from vivavoce.engines.silero_network import CONTEXT_SAMPLES, NEW_SAMPLES, STATE_SIZE, SileroNetwork

MOST_NO_SPEECH: Final = 0.6
LEAST_LOGPROB: Final = -1.0
MOST_COMPRESSION: Final = 2.4
MOST_CHARACTERS_A_SECOND: Final = 30
"""Nobody speaks faster: hurried English is 20."""
SPEECH_PROBABILITY: Final = 0.5
SPEECH_WINDOWS: Final = 3
"""Windows of 32 ms that must sound like speech: a short "yes" has five."""

FROM_SUBTITLES: Final = frozenset(
    phrase
    for line in (
        "you|so|bye|bye bye|the end|i m sorry|thanks|thank you|thank you very much|thank you so much|thanks for watching",
        "thank you for watching|thank you so much for watching|thanks for listening|thank you for listening",
        "please subscribe|please subscribe to my channel|like and subscribe|see you next time|see you in the next video",
        "subtitles by the amara org community|merci|merci d avoir regardé cette vidéo|sous titrage st 501",
        "sous titres réalisés para la communauté d amara org|sous titres réalisés par la communauté d amara org",
        "vielen dank|vielen dank fürs zuschauen|untertitel der amara org community",
        "untertitel im auftrag des zdf für funk 2017|gracias|gracias por ver el video",
        "subtítulos realizados por la comunidad de amara org|grazie|sottotitoli creati dalla comunità amara org",
        "sottotitoli e revisione a cura di qtss|obrigado|legendas pela comunidade amara org",
        "продолжение следует|спасибо за просмотр|субтитры сделал dimatorzok",
        "ご視聴ありがとうございました|ご視聴ありがとうございます|ありがとうございました",
        "谢谢|谢谢大家|谢谢观看|字幕由amara org社区提供|请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "감사합니다|시청해 주셔서 감사합니다",
    )
    for phrase in line.split("|")
)
"""What it invents most, as `_plain` leaves it. Each may also be said: it is doubted, not dropped."""


class Verdict(Enum):
    """What is to be made of a segment."""

    SAID = auto()
    DOUBTFUL = auto()
    INVENTED = auto()


class Heard(Struct, frozen=True, kw_only=True):
    """A segment, and what Whisper thinks of it."""

    text: str
    seconds: float
    """Of sound, of the whole window that the text is about."""
    no_speech_prob: float
    avg_logprob: float
    compression_ratio: float


def verdict(heard: Heard) -> Verdict:
    """Is it said, invented, or does somebody have to listen?"""
    plain = _plain(heard.text)
    unsure = heard.avg_logprob < LEAST_LOGPROB
    silent = heard.no_speech_prob > MOST_NO_SPEECH
    repeats = heard.compression_ratio > MOST_COMPRESSION
    too_fast = len(heard.text) > MOST_CHARACTERS_A_SECOND * heard.seconds
    if not plain or (silent and unsure) or (repeats and too_fast):
        return Verdict.INVENTED
    if silent or unsure or repeats or too_fast or plain in FROM_SUBTITLES:
        return Verdict.DOUBTFUL
    return Verdict.SAID


def has_speech(samples: Samples) -> bool:
    """Does somebody speak in it, by Silero VAD? Samples at 16,000 Hz; a second takes some 8 ms."""
    network = _network()
    state = np.zeros((2, 1, STATE_SIZE), np.float32)
    line = np.concatenate([np.zeros(CONTEXT_SAMPLES, np.int16), samples])
    found = 0
    for start in range(0, samples.size - NEW_SAMPLES + 1, NEW_SAMPLES):
        window = line[start : start + CONTEXT_SAMPLES + NEW_SAMPLES]
        probabilities, state = network.step(window[np.newaxis], state)
        found += float(probabilities[0]) >= SPEECH_PROBABILITY
        if found >= SPEECH_WINDOWS:
            return True
    return False


def _plain(text: str) -> str:
    """Letters and digits in lower case, one space between words. Musical notes and dots leave nothing."""
    return " ".join(re.findall(r"\w+", text.lower()))


@cache
def _network() -> SileroNetwork:
    return SileroNetwork()
