"""The audio floor: lengths, G.711, and resampling that no chunking can change."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce import audio
from vivavoce.audio import SAMPLE_HZ, Decoder, Encoder, LineResampler, Resampler, to_pcm

ENCODINGS = ("audio/pcm", "audio/pcmu", "audio/pcma")
EVERY_SAMPLE = np.arange(-(2**15), 2**15).astype(np.int16)
RATES = [(24_000, 16_000), (24_000, 8_000), (8_000, 24_000), (8_000, 16_000), (22_050, 24_000)]


# --- lengths ---


def test_lengths_count_samples_at_24_khz():
    assert audio.samples_to_ms(24_000) == 1000
    assert audio.samples_to_ms(23) == 0
    assert audio.ms_to_samples(20) == 480
    assert audio.bytes_to_samples(961, "audio/pcm") == 480
    assert audio.bytes_to_samples(160, "audio/pcmu") == 480
    assert audio.samples_to_bytes(480, "audio/pcm") == 960
    assert audio.samples_to_bytes(480, "audio/pcma") == 160
    assert audio.samples_to_bytes(482, "audio/pcma") == 160


@given(st.integers(0, 2**40), st.sampled_from(ENCODINGS))
def test_lengths_agree(n, encoding):
    assert audio.samples_to_ms(audio.ms_to_samples(n)) == n
    assert audio.bytes_to_samples(audio.samples_to_bytes(n, encoding), encoding) <= n
    whole = audio.bytes_to_samples(n, encoding)
    assert audio.bytes_to_samples(audio.samples_to_bytes(whole, encoding), encoding) == whole


# --- G.711, against the recommendation read sample by sample ---


def ulaw_byte(sample):
    """ITU-T G.711 µ-law: 14 bits, a bias of 33, eight segments that double."""
    value = sample >> 2
    mask = 0x7F if value < 0 else 0xFF
    magnitude = min(abs(value), 8158) + 33
    segment = next(s for s in range(8) if magnitude < 64 << s)
    return ((segment << 4) | (magnitude >> (segment + 1)) & 0xF) ^ mask


def alaw_byte(sample):
    """ITU-T G.711 A-law: 13 bits, two straight segments and six that double, even bits inverted."""
    value = sample >> 3
    mask = 0x55 if value < 0 else 0xD5
    magnitude = -value - 1 if value < 0 else value
    segment = next(s for s in range(8) if magnitude < 32 << s)
    return ((segment << 4) | (magnitude >> max(segment, 1)) & 0xF) ^ mask


def ulaw_sample(byte):
    code = ~byte & 0xFF
    magnitude = (((code & 0xF) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def alaw_sample(byte):
    code = byte ^ 0x55
    segment, step = code >> 4 & 7, (code & 0xF) << 4
    magnitude = step + 8 if segment == 0 else step + 0x108 << segment - 1
    return magnitude if code & 0x80 else -magnitude


@pytest.mark.parametrize(("encoding", "reference"), [("audio/pcmu", ulaw_byte), ("audio/pcma", alaw_byte)])
def test_g711_encodes_every_sample_as_the_recommendation_says(encoding, reference):
    assert audio.g711_encode(EVERY_SAMPLE, encoding) == bytes(reference(sample) for sample in EVERY_SAMPLE.tolist())


@pytest.mark.parametrize(("encoding", "reference"), [("audio/pcmu", ulaw_sample), ("audio/pcma", alaw_sample)])
def test_g711_decodes_every_byte_as_the_recommendation_says(encoding, reference):
    assert audio.g711_decode(bytes(range(256)), encoding).tolist() == [reference(byte) for byte in range(256)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("encoding", "law"), [("audio/pcmu", "ulaw"), ("audio/pcma", "alaw")])
def test_g711_equals_audioop(encoding, law):
    audioop = pytest.importorskip("audioop", reason="left the standard library with Python 3.13")
    assert audio.g711_encode(EVERY_SAMPLE, encoding) == getattr(audioop, f"lin2{law}")(EVERY_SAMPLE.tobytes(), 2)
    every_byte = bytes(range(256))
    assert audio.g711_decode(every_byte, encoding).tobytes() == getattr(audioop, f"{law}2lin")(every_byte, 2)


# --- resampling ---


def resample(samples, from_hz, to_hz):
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate([resampler.feed(samples), resampler.flush()])


def tone(frequency_hz, rate_hz, amplitude=16_000, seconds=1):
    at = np.arange(rate_hz * seconds) / rate_hz
    return np.rint(amplitude * np.sin(2 * np.pi * frequency_hz * at)).astype(np.int16)


def level_db(samples, rate_hz, frequency_hz, amplitude=16_000):
    """How loud a tone is, in dB below `amplitude`."""
    middle = samples[rate_hz // 10 : -rate_hz // 10].astype(np.float64)
    window = np.hanning(middle.size)
    turn = np.exp(-2j * np.pi * frequency_hz * np.arange(middle.size) / rate_hz)
    return 20 * math.log10(2 * abs((middle * window * turn).sum()) / window.sum() / amplitude + 1e-9)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_tone_survives_in_place_and_at_its_level(from_hz, to_hz):
    for frequency_hz in (100, 1_000, 2_000, 3_000):
        made = resample(tone(frequency_hz, from_hz), from_hz, to_hz)
        assert abs(level_db(made, to_hz, frequency_hz)) < 0.05
        wanted = tone(frequency_hz, to_hz)
        inside = slice(to_hz // 100, -to_hz // 100)
        assert np.abs(made[inside].astype(int) - wanted[inside]).max() < 16_000 * 0.004  # in place: no delay in the result


def test_speech_up_to_7_khz_reaches_a_16_khz_model():
    assert abs(level_db(resample(tone(7_000, 24_000), 24_000, 16_000), 16_000, 7_000)) < 0.05


@pytest.mark.parametrize(
    ("from_hz", "to_hz", "frequency_hz", "alias_hz"),
    [(24_000, 16_000, 9_000, 7_000), (24_000, 16_000, 11_000, 5_000)]
    + [(24_000, 8_000, f, abs(f - 8_000)) for f in (5_000, 6_000, 7_300, 9_000, 11_500)],
)
def test_what_would_alias_is_60_db_down(from_hz, to_hz, frequency_hz, alias_hz):
    assert level_db(resample(tone(frequency_hz, from_hz), from_hz, to_hz), to_hz, alias_hz) < -60


@pytest.mark.parametrize("to_hz", [16_000, 24_000])
@pytest.mark.parametrize("frequency_hz", [300, 1_000, 2_700])
def test_images_of_telephone_speech_are_60_db_down(to_hz, frequency_hz):
    made = resample(tone(frequency_hz, 8_000), 8_000, to_hz)
    assert level_db(made, to_hz, 8_000 - frequency_hz) < -60


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_constant_stays_constant_and_full_scale_does_not_wrap(from_hz, to_hz):
    made = resample(np.full(from_hz, 12_345, np.int16), from_hz, to_hz)
    assert set(made[to_hz // 100 : -to_hz // 100].tolist()) == {12_345}
    square = np.where(tone(440, from_hz) < 0, -32_768, 32_767).astype(np.int16)
    made, wanted = resample(square, from_hz, to_hz), tone(440, to_hz)
    loud = np.abs(wanted) > 12_000  # away from the edges of the square
    assert made.max() == 32_767  # the filter overshoots a square wave, and is clipped
    assert (np.sign(made[loud]) == np.sign(wanted[loud])).all()


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_the_delay_is_at_most_1_ms(from_hz, to_hz):
    resampler = Resampler(from_hz, to_hz)
    group = from_hz // math.gcd(from_hz, to_hz)  # samples come out when all have come that map onto whole samples
    made = 0
    for fed in range(1, 3 * group + 200):
        made += resampler.feed(np.ones(1, np.int16)).size
        assert fed * 1000 / from_hz - made * 1000 / to_hz <= 1 + group * 1000 / from_hz


def test_encoding_for_the_telephone_holds_back_less_than_1_ms():
    encoder, pcm = Encoder("audio/pcmu"), bytes(480 * 2)
    assert 160 - len(encoder.feed(pcm)) < 8


# --- streams: chunks of any size, the same bits ---


def cut(data, cuts):
    """`data` in pieces, cut at the given places."""
    edges = [0, *sorted(min(at, len(data)) for at in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


audios = st.binary(max_size=6_000)
cuts = st.lists(st.integers(0, 6_000), max_size=12)


@given(audios, cuts, st.sampled_from(ENCODINGS), st.sampled_from([8_000, 16_000, 24_000]))
@settings(deadline=None)
def test_chunking_never_changes_what_is_decoded(data, places, encoding, rate_hz):
    decoder = Decoder(encoding, rate_hz)
    for _ in range(2):  # a flush begins anew
        pieces = [decoder.feed(chunk) for chunk in cut(data, places)] + [decoder.flush()]
        assert np.concatenate(pieces).astype("<i2").tobytes() == to_pcm(data, encoding, rate_hz)


@given(audios, cuts, st.sampled_from(ENCODINGS))
@settings(deadline=None)
def test_chunking_never_changes_what_is_encoded(pcm, places, encoding):
    encoder, whole = Encoder(encoding), Encoder(encoding)
    for _ in range(2):
        pieces = [encoder.feed(chunk) for chunk in cut(pcm, places)]
        assert b"".join(pieces) + encoder.flush() == whole.feed(pcm) + whole.flush()


@given(st.integers(0, 40_000), st.sampled_from(ENCODINGS), st.sampled_from([8_000, 16_000, 24_000]))
@settings(deadline=None, max_examples=50)
def test_nothing_is_lost_and_nothing_added(n, encoding, rate_hz):
    encoder = Encoder(encoding)
    wire = encoder.feed(bytes(2 * n)) + encoder.flush()
    assert len(wire) == (2 * n if encoding == "audio/pcm" else math.ceil(n / 3))
    wire_samples = n if encoding == "audio/pcm" else len(wire)
    assert len(to_pcm(wire, encoding, rate_hz)) == 2 * math.ceil(wire_samples * rate_hz / audio.encoding_hz(encoding))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_tone_goes_out_and_comes_back(encoding):
    pcm = tone(997, SAMPLE_HZ)
    encoder = Encoder(encoding)
    back = to_pcm(encoder.feed(pcm.tobytes()) + encoder.flush(), encoding)
    assert abs(level_db(np.frombuffer(back, np.int16), SAMPLE_HZ, 997)) < 0.1


def test_half_a_sample_waits_for_its_other_half_and_is_dropped_at_the_end():
    decoder = Decoder("audio/pcm", SAMPLE_HZ)
    assert decoder.feed(b"\x01\x02\x03").tolist() == [0x0201]
    assert decoder.feed(b"\x04\x05").tolist() == [0x0403]
    assert decoder.flush().size == 0
    assert decoder.feed(b"\x07\x08").tolist() == [0x0807]
    assert to_pcm(b"\x01\x02\x03", "audio/pcm") == b"\x01\x02"


def test_a_giant_chunk_equals_small_ones():
    noise = np.random.default_rng(7).integers(-20_000, 20_000, 100_001, dtype=np.int16).tobytes()
    decoder = Decoder("audio/pcm", 16_000)
    pieces = [decoder.feed(noise[at : at + 960]) for at in range(0, len(noise), 960)]
    assert np.concatenate([*pieces, decoder.flush()]).tobytes() == to_pcm(noise, "audio/pcm", 16_000)


def test_encoding_100_ms_hardly_holds_the_event_loop():
    encoder, chunk = Encoder("audio/pcmu"), tone(500, SAMPLE_HZ)[: SAMPLE_HZ // 10].tobytes()
    encoder.feed(chunk)

    def seconds():
        started = time.perf_counter()
        encoder.feed(chunk)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(50)) < 500e-6  # measured 26 µs; the bound is for a busy machine


@pytest.mark.parametrize("from_hz", [24_000, 8_000])
def test_lines_are_resampled_as_streams_are(from_hz):
    resampler, rng = LineResampler(from_hz, 16_000, 576), np.random.default_rng(5)
    lines = rng.integers(-30_000, 30_000, (7, resampler.line_samples), dtype=np.int16)
    for line, made in zip(lines, resampler.feed(lines), strict=True):
        # A stream whose sample 0 is the line's `behind_samples`, so that outputs stand at the same places.
        lead = -resampler.behind_samples % (from_hz // 8_000)
        whole = Resampler(from_hz, 16_000).feed(np.concatenate([np.zeros(lead, np.int16), line]))
        first = (lead + resampler.behind_samples) * 16_000 // from_hz
        assert np.abs(whole[first : first + 576] - made).max() <= 1
        assert (whole[first : first + 576] == made).mean() > 0.98


def test_a_line_makes_whole_rows_only():
    with pytest.raises(ValueError, match="575"):
        LineResampler(24_000, 16_000, 575)
