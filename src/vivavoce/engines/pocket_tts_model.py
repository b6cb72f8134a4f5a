"""Pocket TTS through the package `pocket-tts`: loading, voices, and speech frame by frame.

    text ─ tokens ─▶ FlowLM, one latent for each 80 ms ─▶ Mimi's decoder ─▶ 1,920 samples

Everything here blocks and runs on worker threads. The package's own `generate_audio_stream` starts two threads for a text,
which run ahead as fast as they can. Here every frame is a step of its own, with the same modules in the same order: sessions
take turns, and one that is interrupted costs one frame more. That needs methods that the package calls private, hence the
tight bound on its version; a test compares both ways, sample by sample.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from vivavoce.audio import SAMPLE_HZ
from vivavoce.protocol.errors import EngineError

_FADE_IN_SAMPLES: Final = SAMPLE_HZ // 200
"""Mimi begins with a small step, a click: 5 ms hide it."""
_PATHS: Final = (
    ("weights_path",),
    ("flow_lm", "weights_path"),
    ("flow_lm", "lookup_table", "tokenizer_path"),
    ("mimi", "weights_path"),
)
"""Where a configuration names files."""


class PocketModel:
    """A loaded model with its voices. May be called from several threads at once: what changes is in a `Generation`."""

    def __init__(self, folder: Path, language: str, *, quantize: bool) -> None:
        """Load `languages/LANGUAGE` of a folder, or the folder itself where it holds a configuration (`*.yaml`).

        Nothing is fetched. Raises `EngineError`.
        """
        try:
            import torch
            from pocket_tts import TTSModel
            from pocket_tts.models import text_chunking
            from pocket_tts.modules import stateful_module
        except ImportError as error:
            message = f"pocket-tts cannot be loaded ({error}). Run: pip install 'vivavoce[pocket-tts]'"
            raise EngineError("engine_unavailable", message) from error
        self.torch: Any = torch
        self.text_chunking: Any = text_chunking
        self.stateful: Any = stateful_module
        root = folder / "languages" / language
        root = root if root.is_dir() else folder
        with tempfile.TemporaryDirectory() as scratch:
            config = Path(scratch) / "config.yaml"
            config.write_text(yaml.safe_dump(_local(_configuration(root, language), folder, root)), encoding="utf-8")
            try:
                self.tts: Any = TTSModel.load_model(config=config, quantize=quantize)
            except Exception as error:
                message = f"Pocket TTS: what is in {root} cannot be loaded: {str(error).partition(chr(10))[0]}"
                raise EngineError("weights_missing", message) from error
        self.tts.eval()
        self._files = {path.stem: path for path in sorted((root / "embeddings").glob("*.safetensors"))}
        self._states: dict[str, Any] = {}
        self.voices: tuple[str, ...] = tuple(self._files)
        if self.tts.sample_rate != SAMPLE_HZ:
            raise EngineError("weights_missing", f"Pocket TTS: {root} speaks at {self.tts.sample_rate} Hz, not {SAMPLE_HZ}.")
        if not self.voices:
            message = (
                f"Pocket TTS: {root} holds no voices: embeddings/NAME.safetensors, as `pocket-tts export-voice` writes them."
            )
            raise EngineError("weights_missing", message)

    def begin(self, text: str, voice: str) -> Generation:
        """Read the text: some tens of milliseconds of work, then frames can be asked for. Raises `EngineError`."""
        try:
            return Generation(self, text, self._state(voice))
        except EngineError:
            raise
        except Exception as error:
            raise _failure(error) from error

    def _state(self, voice: str) -> Any:
        """What the model remembers after it has heard the voice: read once, then kept (6 MB each)."""
        if voice not in self._states:
            try:
                self._states[voice] = self.tts.get_state_for_audio_prompt(self._files[voice])
            except Exception as error:
                raise EngineError("voice_not_found", f"Pocket TTS: {self._files[voice]} holds no voice: {error}") from error
        return self._states[voice]


class Generation:
    """One text being spoken. One thread at a time may think, and one decode."""

    def __init__(self, model: PocketModel, text: str, voice: Any) -> None:
        tts, torch = model.tts, model.torch
        self._model = model
        prompt, guess = model.text_chunking.prepare_text_prompt(
            text,
            tts.pad_with_spaces_for_short_inputs,
            tts.remove_semicolons,
            tts.append_terminal_punctuation,
            tts.capitalize_first_letter,
            tts.replace_characters,
        )
        recommended = tts.model_recommended_frames_after_eos
        self._frames_after_end = guess + 2 if recommended is None else recommended
        self._frames = 0
        self._is_fresh = True
        self._ends_at: int | None = None
        with torch.inference_mode():
            tokens = tts.flow_lm.conditioner.prepare(prompt)
            self._most_frames = tts._estimate_max_gen_len(tokens.shape[1])
            self._state = copy.deepcopy(voice)
            heard = tts._flow_lm_current_end(self._state)
            tts._expand_kv_cache(self._state, sequence_length=heard + tokens.shape[1] + self._most_frames)
            tts._run_flow_lm_and_increment_step(model_state=self._state, text_tokens=tokens)
            self._mimi_steps = int(tts.mimi.encoder_frame_rate / tts.mimi.frame_rate)
            self._mimi_state = model.stateful.init_states(
                tts.mimi, batch_size=1, sequence_length=self._most_frames * self._mimi_steps
            )
            # Not a number stands for the beginning.
            self._latent = torch.full((1, 1, tts.flow_lm.ldim), float("nan"), dtype=tts.flow_lm.dtype)

    def think(self) -> Any:
        """The latent of the next 80 ms, `None` after the last: the larger part of the work. Raises `EngineError`."""
        try:
            with self._model.torch.inference_mode():
                return self._next_latent()
        except Exception as error:
            raise _failure(error) from error

    def decode(self, latent: Any) -> NDArray[np.float32]:
        """The samples of a latent: of each one, in order, perhaps while the next is thought of. Raises `EngineError`."""
        try:
            with self._model.torch.inference_mode():
                return self._decoded(latent)
        except Exception as error:
            raise _failure(error) from error

    def _next_latent(self) -> Any:
        """The model says that the text is over some frames early."""
        tts = self._model.tts
        if self._frames >= self._most_frames:
            return None
        self._latent, is_end = tts._run_flow_lm_and_increment_step(
            model_state=self._state, backbone_input_latents=self._latent
        )
        if self._ends_at is None and is_end.item() and self._frames >= tts._MIN_FRAMES_BEFORE_EOS:
            self._ends_at = self._frames + self._frames_after_end
        if self._ends_at is not None and self._frames >= self._ends_at:
            return None
        self._frames += 1
        return self._latent

    def _decoded(self, latent: Any) -> NDArray[np.float32]:
        tts = self._model.tts
        frame = tts.mimi.decode_from_latent(latent * tts.flow_lm.emb_std + tts.flow_lm.emb_mean, self._mimi_state)[0, 0]
        self._model.stateful.increment_steps(tts.mimi, self._mimi_state, increment=self._mimi_steps)
        samples: NDArray[np.float32] = frame.float().numpy()
        if self._is_fresh:
            samples[:_FADE_IN_SAMPLES] *= np.linspace(0, 1, _FADE_IN_SAMPLES, dtype=np.float32)
            self._is_fresh = False
        return samples


def _configuration(root: Path, language: str) -> dict[str, Any]:
    """The folder's own, or the package's for the language. Raises `EngineError`."""
    import pocket_tts

    packaged = Path(pocket_tts.__file__).parent / "config"
    own = sorted((*root.glob("*.yaml"), *root.glob("*.yml")))
    path = own[0] if own else packaged / f"{language}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(config.stem for config in packaged.glob("*.yaml")))
        raise EngineError("weights_missing", f"Pocket TTS knows no language {language!r}. There are: {there}.")
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise EngineError("weights_missing", f"Pocket TTS: {path} is no configuration.")
    return config


def _local(config: dict[str, Any], folder: Path, root: Path) -> dict[str, Any]:
    """The configuration with every file on this machine. Raises `EngineError` for one that is missing."""
    config = copy.deepcopy(config)
    # Both bundles have the same layout. The one without cloning has an empty encoder, and here nothing is encoded.
    fallback = config.pop("weights_path_without_voice_cloning", None)
    if config.get("weights_path") is None and fallback:
        config["weights_path"] = fallback
    for *tables, name in _PATHS:
        table = config
        for key in tables:
            table = table.get(key) or {}
        if table.get(name):
            table[name] = str(_found(table[name], folder, root))
    return config


def _found(name: str, folder: Path, root: Path) -> Path:
    """Where a file is that a configuration names by `hf://owner/name/PATH@revision`, an address or a path."""
    path = name.partition("://")[2].partition("@")[0] if "://" in name else name
    in_repository = "/".join(path.split("/")[2:]) if name.startswith("hf://") else path
    for candidate in (folder / in_repository, root / in_repository, root / Path(path).name):
        if candidate.is_file():
            return candidate
    raise EngineError("weights_missing", f"Pocket TTS: {root} lacks {Path(path).name}, which its configuration names.")


def _failure(error: Exception) -> EngineError:
    return EngineError("synthesis_failed", f"Pocket TTS failed: {str(error).partition(chr(10))[0]}")
