"""Qwen-Omni in this process: speech in, speech out, no text between. How an omni model is streamed.

                     while the user speaks                                    from the commit on
    ┌───────────────────────────────────────────────────┐   ┌──────────────────────────────────────────────────────────┐
    Listen ─▶ 16 kHz ─▶ closed blocks ─▶ audio encoder ─┐   tail ─▶ audio encoder ─┐
                        of 8 s (Ear)                    │                          │
                                                        ▼                          ▼
       instructions, tools, ─▶ tokens ─▶ ┌──────────────────────────────────────────────┐
       turns so far (prompt)             │ thinker: prefill; its KV cache stays for the │
                                         │ whole conversation                           │◀───────────┐
                                         └──────────────────────────────────────────────┘            │
                                              │ token k of the answer ─────────────────── fed back ──┘
             OutputTranscript, marks ◀────────┤
             FunctionCall… (never spoken) ◀───┤
                                              ▼ embedding of token k        one step of the line:
                                         ┌─────────┐  first code of         at most one token and
                        user's turns ─▶  │ talker  │  frame k               one frame (80 ms of sound)
                        (own KV cache)   └─────────┘
                                              ▼                  ▲
                                         code predictor ─────────┘ sum of the frame's codes, into step k + 1
                                              ▼ all codes of frame k
                                         vocoder: 4 frames, then 25 at a time ─▶ PCM 24 kHz ─▶ OutputAudio

What makes it fast, and where it is done:

- Before the commit all but the last 8 s of speech is encoded and read (`memory.py`: `hear_ahead`, `qwen3_ear.py`).
- Nothing waits for a whole: the talker begins at the first token, and the first sound leaves with the fourth frame. The
  number of steps before that is the same however long the answer will be (`qwen3_answer.py`).
- Nothing is done twice: speech is encoded once, and a prompt is read from its first difference on (`prompt.py`).
- All sessions share the weights and one thread, which makes a step of each in turn (`inference_thread.py`).

And what is exact: features equal those of whole recordings, greedy text and codes equal those of transformers' `generate()`.

Install it with `pip install 'vivavoce[qwen-omni]'`. This module imports neither torch nor transformers: the thread does.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from vivavoce.engine_api import Capabilities, Emit, EngineSession
from vivavoce.engines.qwen_omni.family import HEARING_HZ, Family, LoadOptions, Manner
from vivavoce.engines.qwen_omni.inference_thread import InferenceThread
from vivavoce.engines.qwen_omni.memory import Memory, Precedent
from vivavoce.engines.qwen_omni.replying import Limits
from vivavoce.engines.qwen_omni.session import QwenOmniSession
from vivavoce.engines.side_transcripts import SideTranscripts, transcriber_of
from vivavoce.engines.weights import Weights, find_weights
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.registry import read_options

logger = logging.getLogger(__name__)

FAMILIES: Final = {
    "qwen3_omni_moe": "vivavoce.engines.qwen_omni.qwen3",
    "qwen2_5_omni": "vivavoce.engines.qwen_omni.qwen25",
}
"""By `model_type` in a checkpoint's `config.json`: the module whose `load` makes a `Family` of it."""
PROMPT_SHARE: Final = 0.9
"""Of the context. The rest is the answer's."""
COUNTED_A_SECOND: Final = 10
"""What the core counts for a second of the user's speech, by the hosted API's rules."""
WARM_UP_STEPS: Final = 200
"""The first sound comes long before; a model that makes none is warm all the same."""
_SUBJECT: Final = "The engine 'qwen_omni'"
_FILES: Final = ("*.json", "*.jinja", "*.safetensors", "*.txt", "*.pt")


class Options(Struct, frozen=True, kw_only=True):
    """What the operator can choose: `[engines.qwen_omni]`."""

    model: str = "Qwen/Qwen3-Omni-30B-A3B-Instruct"
    """A known name (`QwenOmni.weights`), a repository of the hub, or a folder."""
    device: str = "auto"
    """`auto`: the first GPU, else the CPU. Or `cuda`, `cuda:1`, `cpu`."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """`auto`: bfloat16 on a GPU, float32 on a CPU."""
    attention: str = ""
    """`sdpa`, `flash_attention_2`, `eager`. Empty: the library's choice."""
    cuda_graphs: bool = True
    """On a GPU, run what always has one shape as one launch. Off: if a driver does not like it."""
    speech: bool = True
    """Off: load neither talker nor vocoder; every answer is text."""
    voice: str = ""
    """Where the client names none that the model has. Empty: the model's first."""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """Of the text, where the client names none. Unset: what the model's makers advise."""
    greedy_speech: bool = False
    """Take the likeliest sounds instead of drawing them: always the same, and less alive."""
    hurry: bool = True
    """Send sound in shorter pieces where the listener would run dry."""
    max_text_tokens: Annotated[int, Meta(ge=1)] = 2_048
    """Of one answer, whatever the client allows."""
    max_seconds: Annotated[float, Meta(gt=0)] = 300.0
    """Of one answer's speech."""
    threads: Annotated[int, Meta(ge=0, le=256)] = 0
    """Processor threads of PyTorch. 0: its own choice."""
    transcriber: str = ""
    """Who writes down the user's words, where a client asks for that: a transcriber's name. A table with that name holds its
    options. Empty: nobody does."""


class QwenOmni:
    """The engine."""

    weights: ClassVar[Mapping[str, Weights]] = {
        "Qwen/Qwen3-Omni-30B-A3B-Instruct": Weights(
            repository="Qwen/Qwen3-Omni-30B-A3B-Instruct", files=_FILES, size_bytes=70_500_000_000, licence="Apache-2.0"
        ),
        "Qwen/Qwen2.5-Omni-7B": Weights(
            repository="Qwen/Qwen2.5-Omni-7B", files=_FILES, size_bytes=22_400_000_000, licence="Apache-2.0"
        ),
        "Qwen/Qwen2.5-Omni-3B": Weights(
            repository="Qwen/Qwen2.5-Omni-3B", files=_FILES, size_bytes=12_000_000_000, licence="Qwen Research License"
        ),
    }
    """By the name that `model` takes."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is loaded yet."""
        given = dict(options or {})
        name = given.get("transcriber", "")
        self._transcriber = transcriber_of("qwen_omni", name, given.pop(name, {})) if isinstance(name, str) else None
        self._options = read_options(given, Options, "qwen_omni")
        self._thread: InferenceThread | None = None
        self._family: Family | None = None
        self._precedent = Precedent()
        self.capabilities = Capabilities(
            speaks=self._options.speech,
            listens=True,
            drafts=True,
            transcribes=self._transcriber is not None,
            native_audio=True,
        )

    async def start(self) -> None:
        """Find the weights, load them, answer once. Raises `EngineError` or `SettingsError`."""
        folder = await find_weights(self._options.model, self.weights, _SUBJECT)
        load = family_loader(folder)
        self._thread = InferenceThread("qwen-omni")
        self._thread.start()
        try:
            family = await asyncio.wrap_future(self._thread.call(lambda: _loaded(load, folder, self._options)))
            if self._transcriber is not None:
                await self._transcriber.start()
        except BaseException:
            await self.close()
            raise
        self._family = family
        self.capabilities = msgspec.structs.replace(
            self.capabilities,
            speaks=bool(family.voices),
            voices=family.voices,
            context_tokens=planned(family),
        )

    def open(self, emit: Emit) -> EngineSession:
        """Begin a session."""
        if self._thread is None or self._family is None:
            raise EngineError("engine_unavailable", f"{_SUBJECT} is not started.")
        options = self._options
        limits = Limits(
            voice=options.voice,
            temperature=options.temperature,
            greedy_speech=options.greedy_speech,
            hurry=options.hurry,
            max_text_tokens=options.max_text_tokens,
            max_seconds=options.max_seconds,
        )
        transcripts = SideTranscripts(self._transcriber) if self._transcriber is not None else None
        memory = Memory(self._family, self._precedent)
        return QwenOmniSession(emit, self._thread, self._family, memory, limits, transcripts)

    async def close(self) -> None:
        """End the thread, free the weights."""
        family, thread, self._family, self._thread = self._family, self._thread, None, None
        if thread is not None:
            if family is not None:
                thread.call(family.close)
            await asyncio.to_thread(thread.close)
        if self._transcriber is not None:
            await self._transcriber.close()


def planned(family: Family) -> int:
    """How many tokens the core may plan with, so that a conversation that is all speech fits, and its answer too."""
    fitting = min(1.0, COUNTED_A_SECOND / family.positions_per_second)
    return round(family.context_positions * PROMPT_SHARE * fitting)


def family_loader(folder: Path) -> str:
    """The module that loads this checkpoint. Raises `SettingsError`."""
    try:
        kind = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any]).get("model_type", "")
    except (OSError, msgspec.DecodeError):
        raise SettingsError(f"engines.qwen_omni.model: {folder} has no readable config.json.") from None
    if kind not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise SettingsError(f"engines.qwen_omni.model: {folder} holds a {kind!r} model. Known: {known}.")
    return FAMILIES[kind]


def _loaded(module: str, folder: Path, options: Options) -> Family:
    """On the inference thread: load the model, and let it answer once, so that the first client waits for nothing."""
    try:
        load: Callable[[Path, LoadOptions], Family] = importlib.import_module(module).load
    except ModuleNotFoundError as error:
        remedy = "pip install 'vivavoce[qwen-omni]'"
        raise SettingsError(f"{_SUBJECT} needs the module {error.name!r}. Run: {remedy}") from error
    wishes = LoadOptions(
        device=options.device,
        dtype=options.dtype,
        attention=options.attention,
        graphs=options.cuda_graphs,
        speech=options.speech,
        threads=options.threads,
    )
    try:
        family = load(folder, wishes)
    except (OSError, ValueError) as error:
        raise EngineError("engine_start_failed", f"{_SUBJECT} cannot load {folder}: {error}") from error
    _warm_up(family)
    return family


def _warm_up(family: Family) -> None:
    """One answer to a second of silence, as far as its first sound."""
    ear, conversation = family.ear(), family.open()
    ear.feed(np.zeros(HEARING_HZ, np.float32))
    while ear.encode(final=True):
        pass
    text = family.render([{"role": "user", "content": [{"type": "audio"}]}], (), answer=True)
    before, _, after = text.partition(family.audio_token)
    conversation.extend([*family.encode(before), *ear.blocks, *family.encode(after)])
    answer = conversation.answer(Manner(voice=family.voices[0] if family.voices else None))
    for _ in range(WARM_UP_STEPS):
        step = answer.step()
        if step.pcm or step.done:
            break
    answer.close()
    conversation.close()
