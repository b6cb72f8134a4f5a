"""A Whisper model that hears tones as words: real files for the real loader, with weights set by hand.

Each second of sound is a place in a sentence, and the tone in it picks one of the six words for that place:

    a tone of 300 Hz, then one of 800 Hz     "one green"
    no tone at all                           "Thanks for watching!", and it is quite sure of that, as Whisper is

How: the encoder's convolutions measure each tone, its positions say which second it is. The decoder's last token asks for
the next second, attention fetches the tone there, and the projection turns second and tone into a word. Self-attention and
the feed-forward layers do nothing.
"""

import json
from itertools import product
from pathlib import Path

import numpy as np
from ctranslate2.specs import WhisperSpec
from faster_whisper.feature_extractor import FeatureExtractor
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TONES_HZ = (300, 500, 800, 1300, 2000, 3000)
PLACES = (
    ("one", "two", "three", "four", "five", "six"),
    ("red", "blue", "green", "black", "white", "grey"),
    ("cats", "dogs", "birds", "ducks", "mice", "fish"),
    ("sing", "dance", "sleep", "run", "jump", "swim"),
    ("here", "there", "now", "late", "early", "well"),
)
INVENTED = "Thanks for watching!"
MULTILINGUAL = ""
"""CTranslate2 knows a multilingual model by the empty token in its vocabulary."""

RATE_HZ = 24_000
WIDTH = 64
SLOT = len(TONES_HZ)
"""The first dimension that stands for a second; tones come before."""
END = SLOT + len(PLACES)
"""The dimension that stands for: nothing more."""
TIME = END + 2
"""The dimension that stands for: now comes a time."""
FRAMES_A_SECOND = 50
TIMESTAMPS = 1501


def tone(hz: float, seconds: float) -> np.ndarray:
    """A tone at 24,000 Hz."""
    return (8000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)).astype(np.int16)


def speech(sentence: str) -> bytes:
    """What the model hears as these words, PCM: 700 ms of tone and 300 ms of silence for each."""
    words = zip(PLACES, sentence.split(), strict=False)
    pieces = [[tone(TONES_HZ[place.index(word)], 0.7), np.zeros(RATE_HZ * 3 // 10, np.int16)] for place, word in words]
    return np.concatenate([piece for pair in pieces for piece in pair]).tobytes()


def make_whisper(folder: Path, *, multilingual: bool = False) -> Path:
    """Write the model into a folder."""
    tokenizer, tokens = _tokenizer(multilingual)
    ids = {token: number for number, token in enumerate(tokens)}
    spec = WhisperSpec(1, 1, 1, 1)
    _encode(spec.encoder)
    _decode(spec.decoder, ids)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [ids["Ġ"], ids["<|endoftext|>"]]
    spec.config.lang_ids = [ids[f"<|{language}|>"] for language in ("en", "de")]
    spec.config.alignment_heads = [[0, 0]]
    spec.validate()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 80}))
    return folder


def _word(place: int, number: int) -> str:
    return "Ġ" + PLACES[place][number]


def _tokenizer(multilingual: bool) -> tuple[Tokenizer, list[str]]:
    """Bytes, the words, and what Whisper puts between angle brackets."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [_word(place, number) for place, number in product(range(len(PLACES)), range(len(TONES_HZ)))]
    text = letters + words + ["Ġ" + INVENTED.replace(" ", "Ġ")]
    marks = ["endoftext", "startoftranscript", "en", "de", "translate", "transcribe", "startoflm", "startofprev"]
    marks = [f"<|{mark}|>" for mark in [*marks, "nocaptions", "notimestamps"]]
    times = [f"<|{number * 0.02:.2f}|>" for number in range(TIMESTAMPS)]
    text += [MULTILINGUAL] if multilingual else []
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(text)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(marks)
    tokenizer.add_tokens(times)
    return tokenizer, text + marks + times


def _peaks() -> list[tuple[int, float]]:
    """Where Whisper's spectrum shows each tone, and how far above its mean."""
    seconds = np.arange(16_000) / 16_000
    tones = [np.sin(2 * np.pi * hz * seconds).astype(np.float32) for hz in TONES_HZ]
    spectra = [FeatureExtractor()(samples)[:, 20:80].mean(axis=1) for samples in tones]
    return [(int(spectrum.argmax()), float(spectrum.max() - spectrum.mean())) for spectrum in spectra]


def _encode(encoder) -> None:
    """A frame becomes: how far each tone stands out, and a one for the second that it belongs to."""
    contrast = np.full((WIDTH, 80), 0.0, np.float32)
    for number, (mel_bin, height) in enumerate(_peaks()):
        contrast[number] = -9 / height / 80
        contrast[number, mel_bin] += 9 / height
    encoder.conv1.weight = np.zeros((WIDTH, 80, 3), np.float32)
    encoder.conv1.weight[:, :, 1] = contrast
    encoder.conv1.bias = np.where(np.arange(WIDTH) < len(TONES_HZ), -4, 0).astype(np.float32)
    encoder.conv2.weight = np.zeros((WIDTH, WIDTH, 3), np.float32)
    encoder.conv2.weight[:, :, 1] = np.eye(WIDTH)
    encoder.conv2.bias = np.zeros(WIDTH, np.float32)
    encoder.position_encodings.encodings = np.zeros((30 * FRAMES_A_SECOND, WIDTH), np.float32)
    for frame in range(30 * FRAMES_A_SECOND):
        encoder.position_encodings.encodings[frame, min(SLOT + frame // FRAMES_A_SECOND, END)] = 5
    _attend_to_nothing(encoder.layer[0])
    _normalize(encoder.layer_norm)


def _decode(decoder, ids: dict[str, int]) -> None:
    asks = np.zeros((len(ids), WIDTH), np.float32)
    """By token: the second that comes after it."""
    says = np.zeros((len(ids), WIDTH), np.float32)
    """By token: what speaks for it."""
    for token, number in ids.items():
        if token == "<|startoftranscript|>" or number >= ids["<|notimestamps|>"]:
            asks[number, SLOT] = 3
    for place, number in product(range(len(PLACES)), range(len(TONES_HZ))):
        asks[ids[_word(place, number)], SLOT + place + 1] = 3
        says[ids[_word(place, number)], [SLOT + place, number]] = 4
    asks[ids["<|startoftranscript|>"], TIME] = 3
    says[ids["<|0.00|>"], TIME] = 1  # where times are wanted, this one comes first
    invented = ids["Ġ" + INVENTED.replace(" ", "Ġ")]
    asks[invented, END] = 3
    says[invented, SLOT] = 6.4
    says[ids["<|nocaptions|>"], SLOT] = 7
    says[ids["<|endoftext|>"], SLOT + 1 : END + 1] = 6.4
    says[ids["<|de|>"], 0] = 4  # what begins with the lowest tone is German
    says[ids["<|en|>"], SLOT] = 2
    decoder.embeddings.weight = asks
    decoder.projection.weight = 2 * says
    decoder.position_encodings.encodings = np.zeros((448, WIDTH), np.float32)
    _attend_to_nothing(decoder.layer[0])
    _attend_to_the_second_asked_for(decoder.layer[0].attention)
    _normalize(decoder.layer_norm)


def _attend_to_the_second_asked_for(attention) -> None:
    """Of its frames, those with a tone count most."""
    queries, keys, values, out = (np.zeros((WIDTH, WIDTH), np.float32) for _ in range(4))
    sought = np.zeros(WIDTH, np.float32)
    seconds = slice(SLOT, END + 1)
    queries[seconds, seconds] = np.eye(END + 1 - SLOT)
    keys[seconds, seconds] = 4 * np.eye(END + 1 - SLOT)
    keys[END + 1, : len(TONES_HZ)] = 1
    sought[END + 1] = 20
    values[: len(TONES_HZ), : len(TONES_HZ)] = np.eye(len(TONES_HZ))
    out[: len(TONES_HZ), : len(TONES_HZ)] = 0.5 * np.eye(len(TONES_HZ))
    _normalize(attention.layer_norm)
    _linear(attention.linear[0], queries, sought)
    _linear(attention.linear[1], np.concatenate([keys, values]))
    _linear(attention.linear[2], out)


def _attend_to_nothing(layer) -> None:
    _normalize(layer.self_attention.layer_norm)
    _linear(layer.self_attention.linear[0], np.zeros((3 * WIDTH, WIDTH), np.float32))
    _linear(layer.self_attention.linear[1], np.zeros((WIDTH, WIDTH), np.float32))
    _normalize(layer.ffn.layer_norm)
    _linear(layer.ffn.linear_0, np.zeros((WIDTH, WIDTH), np.float32))
    _linear(layer.ffn.linear_1, np.zeros((WIDTH, WIDTH), np.float32))


def _linear(linear, weight: np.ndarray, bias: np.ndarray | None = None) -> None:
    linear.weight = weight
    linear.bias = np.zeros(len(weight), np.float32) if bias is None else bias


def _normalize(norm) -> None:
    norm.gamma = np.ones(WIDTH, np.float32)
    norm.beta = np.zeros(WIDTH, np.float32)
