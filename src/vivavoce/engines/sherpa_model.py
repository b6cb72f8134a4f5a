"""A folder of files → a streaming recogniser of sherpa-onnx.

Which kind of model it is, the files and their metadata tell. They are looked at before the library sees them, for a reason:
what it cannot use (a model that does not stream, a file that is something else) makes it end the whole process.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from msgspec import Struct

from vivavoce.audio import Samples
from vivavoce.engines.loudness import RATE_HZ
from vivavoce.engines.onnx_metadata import read_metadata
from vivavoce.protocol.errors import EngineError

FRAMES_A_SECOND: Final = 100
EMISSION_FRAMES: Final = 21
"""A transducer writes a word up to 200 ms after it was said."""

Search = Literal["greedy_search", "modified_beam_search"]


class Kind(Struct, frozen=True, kw_only=True):
    """One kind of model that streams."""

    name: str
    make: str
    """The method of `sherpa_onnx.OnlineRecognizer` that makes it."""
    roles: tuple[str, ...]
    """What its files do. A file begins with its role."""
    metadata: Mapping[str, tuple[str, ...]]
    """By role, what its metadata must have: without these the library ends the process."""
    window: str = ""
    """Where the metadata of the first role says how many frames a step reads."""
    window_frames: int = 0
    """How many, where no metadata says so. 0: it takes less at the end."""
    hotwords: bool = False
    """It can be told words that are likely to come, and search by beam at all."""


_TRANSDUCER: Final = ("encoder", "decoder", "joiner")

KINDS: Final = (
    Kind(
        name="transducer",  # zipformer, zipformer2, conformer, LSTM: all that icefall exports
        make="from_transducer",
        roles=_TRANSDUCER,
        metadata={"encoder": ("model_type", "T", "decode_chunk_len"), "decoder": ("vocab_size", "context_size")},
        window="T",
        hotwords=True,
    ),
    Kind(
        name="NeMo transducer",
        make="from_transducer",
        roles=_TRANSDUCER,
        metadata={"encoder": ("window_size", "chunk_shift", "vocab_size", "pred_hidden", "cache_last_channel_dim1")},
        window="window_size",
    ),
    Kind(
        name="Parakeet transducer",
        make="from_transducer",
        roles=_TRANSDUCER,
        metadata={"decoder": ("streaming_model_type",)},
    ),
    Kind(
        name="paraformer",
        make="from_paraformer",
        roles=("encoder", "decoder"),
        metadata={"encoder": ("vocab_size", "lfr_window_size", "encoder_output_size", "decoder_num_blocks")},
        window_frames=61,
    ),
    Kind(
        name="zipformer CTC",
        make="from_zipformer2_ctc",
        roles=("model",),
        metadata={"model": ("encoder_dims", "left_context_len", "T", "decode_chunk_len")},
        window="T",
    ),
    Kind(
        name="NeMo CTC",
        make="from_nemo_ctc",
        roles=("model",),
        metadata={"model": ("window_size", "chunk_shift", "vocab_size", "cache_last_channel_dim1")},
        window="window_size",
    ),
)
"""By the first that fits. The library knows more (Wenet, T-one); nobody asked for those yet."""


class Loading(Struct, frozen=True, kw_only=True):
    """How to load a model."""

    folder: Path
    search: Search = "greedy_search"
    beam_size: int = 4
    hotwords_score: float = 1.5
    threads: int = 2
    provider: str = "cpu"
    int8: bool = True


class Files(Struct, frozen=True, kw_only=True):
    """What a folder holds."""

    kind: Kind
    models: dict[str, Path]
    """By role."""
    tokens: Path
    symbols: tuple[str, ...]
    """What `tokens.txt` lists."""
    bpe_vocabulary: Path | None
    window_frames: int
    """Frames of 10 ms that a step reads."""

    @property
    def writes_capitals(self) -> bool:
        """It knows no small letter: many English models are trained on such text."""
        letters = "".join(symbol for symbol in self.symbols if not re.fullmatch(r"<.*>|#\d+", symbol))
        return letters.upper() == letters != letters.lower()

    @property
    def modeling_unit(self) -> str:
        """What hotwords are cut into. Empty: they cannot be."""
        characters = any(re.fullmatch(r"[\u3400-\u9fff]", symbol) for symbol in self.symbols)
        if self.bpe_vocabulary:
            return "cjkchar+bpe" if characters else "bpe"
        return "cjkchar" if characters else ""


class Recognizer:
    """The library's recogniser, and what we know of the model. Belongs to one thread."""

    def __init__(self, loading: Loading, subject: str) -> None:
        """Load, and decode once: a second or some. Raises `EngineError`, in one line that begins with `subject`."""
        if importlib.util.find_spec("sherpa_onnx") is None:
            raise EngineError("engine_unavailable", f"{subject} needs its library. Run: pip install 'vivavoce[sherpa-onnx]'")
        files = find_files(loading.folder, subject, int8=loading.int8)
        if loading.search != "greedy_search" and not files.kind.hotwords:
            raise EngineError(
                "engine_start_failed",
                f"{subject}: {loading.folder} is a {files.kind.name}, which has no beam search. Remove decoding.",
            )
        self.tail_samples = (files.window_frames + EMISSION_FRAMES) * RATE_HZ // FRAMES_A_SECOND
        """Silence after which the last word is out."""
        self.greedy = loading.search == "greedy_search"
        self.lower_case = files.writes_capitals
        self._unit = "" if self.greedy else files.modeling_unit
        self._characters = frozenset(files.symbols) if self._unit == "cjkchar" else frozenset("".join(files.symbols))
        """What it can write."""
        try:
            self.online = _load(files, loading)
            self._warm()
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise EngineError("engine_start_failed", f"{subject} cannot use {loading.folder}: {reason}") from error

    def _warm(self) -> None:
        stream = self.online.create_stream()
        stream.accept_waveform(RATE_HZ, [0.0] * RATE_HZ)
        while self.online.is_ready(stream):
            self.online.decode_streams([stream])

    def stream(self, phrases: tuple[str, ...]) -> Any:
        """A stream for one turn. `phrases` count where the model can be told any."""
        hotwords = "/".join(filter(None, map(self._hotword, phrases))) if self._unit else ""
        return self.online.create_stream(hotwords) if hotwords else self.online.create_stream()

    def accept(self, stream: Any, samples: Samples) -> None:
        """Give a stream 16-bit samples at 16,000 Hz."""
        # A list crosses into C++ faster than an array, which is read element by element.
        stream.accept_waveform(RATE_HZ, (samples.astype(np.float32) / 32768).tolist())

    def finish(self, stream: Any, quiet_samples: int) -> None:
        """There is no more sound. Silence behind it brings its last frames into a step, and the last words out.

        A turn mostly ends in quiet already: what there is of that need not be added.
        """
        stream.accept_waveform(RATE_HZ, [0.0] * max(0, self.tail_samples - quiet_samples))
        stream.input_finished()

    def _hotword(self, phrase: str) -> str:
        """The phrase as the model would write it. Empty if it cannot: the library would complain of it for each turn."""
        plain = " ".join(re.findall(r"[\w']+", phrase.upper() if self.lower_case else phrase))
        return plain if self._characters.issuperset(plain.replace(" ", "")) else ""

    def cased(self, text: str) -> str:
        """In small letters, if the model knows only capitals: nobody shouts."""
        return text.lower() if self.lower_case else text


def find_files(folder: Path, subject: str, *, int8: bool = True) -> Files:
    """What is in a folder. Raises `EngineError` if that is no model which streams."""

    def failure(reason: str) -> EngineError:
        advice = "Name a folder of a streaming model from https://k2-fsa.github.io/sherpa/onnx, or a known model."
        return EngineError("engine_start_failed", f"{subject}: {folder} {reason}. {advice}")

    paths = [path for path in sorted(folder.iterdir()) if path.suffix == ".onnx"]
    kinds = [kind for kind in KINDS if all(_files_of(role, paths) for role in kind.roles)]
    if not kinds:
        raise failure("holds no encoder, decoder and joiner, nor any other set of files that we know")
    models = {role: _choice(role, _files_of(role, paths), int8=int8) for kind in kinds for role in kind.roles}
    try:
        files = _described(folder, kinds, models)
    except (OSError, ValueError) as error:
        raise failure(f"cannot be used: {error}") from error
    if files is None:
        raise failure(f"is no model that streams, by the metadata of {models[kinds[0].roles[0]].name}")
    return files


def _described(folder: Path, kinds: list[Kind], models: dict[str, Path]) -> Files | None:
    """What the files tell of themselves. Raises `OSError` and `ValueError`."""
    metadata = {role: read_metadata(path) for role, path in models.items()}
    tokens, vocabulary = folder / "tokens.txt", folder / "bpe.vocab"
    symbols = _symbols(tokens)
    for kind in kinds:
        if all(metadata[role].keys() >= set(keys) for role, keys in kind.metadata.items()):
            return Files(
                kind=kind,
                models={role: models[role] for role in kind.roles},
                tokens=tokens,
                symbols=symbols,
                bpe_vocabulary=vocabulary if vocabulary.is_file() else None,
                window_frames=int(metadata[kind.roles[0]][kind.window]) if kind.window else kind.window_frames,
            )
    return None


def _files_of(role: str, paths: list[Path]) -> list[Path]:
    """A model in one file may be called anything."""
    return [path for path in paths if fnmatch(path.name, f"{role}*.onnx")] or (
        paths if role == "model" and len(paths) <= 2 else []
    )


def _choice(role: str, paths: list[Path], *, int8: bool) -> Path:
    """Of several, those of 8 bits, but for the decoder: it is small, and loses most."""
    small = [path for path in paths if "int8" in path.name]
    large = [path for path in paths if "int8" not in path.name]
    return ((small or large) if int8 and role != "decoder" else (large or small))[0]


def _symbols(path: Path) -> tuple[str, ...]:
    """A symbol and its number on each line; a line that is only a number stands for the space."""
    symbols = []
    for line in path.read_text(encoding="utf-8").splitlines():
        parts = line.split()
        if len(parts) > 2 or (parts and not re.fullmatch(r"\d+", parts[-1])):
            raise ValueError(f"{path.name} is no list of tokens: {line[:40]!r}")
        symbols += parts[:1] if len(parts) == 2 else [" "]
    if not symbols:
        raise ValueError(f"{path.name} is empty")
    return tuple(symbols)


def _load(files: Files, loading: Loading) -> Any:
    import sherpa_onnx

    options: dict[str, Any] = {
        **{role: str(path) for role, path in files.models.items()},
        "tokens": str(files.tokens),
        "num_threads": loading.threads,
        "provider": loading.provider,
        "decoding_method": loading.search,
    }
    if files.kind.make == "from_transducer":
        # A temperature of 1: else the log probabilities that it tells are not the model's.
        options |= {
            "max_active_paths": loading.beam_size,
            "hotwords_score": loading.hotwords_score,
            "temperature_scale": 1.0,
        }
    if files.kind.hotwords:
        options |= {"modeling_unit": files.modeling_unit, "bpe_vocab": str(files.bpe_vocabulary or "")}
    return getattr(sherpa_onnx.OnlineRecognizer, files.kind.make)(**options)
