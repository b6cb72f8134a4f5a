"""The assistant's own voice in the microphone: recorded answers, played late and in a room, with and without the user."""

import numpy as np
import pytest

from tests.front_end.acoustics import MS, RATE_HZ, level, microphone, onsets_ms, resampled, silence, voice
from vivavoce.audio import Encoder, g711_decode, g711_encode
from vivavoce.front_end.alignment import HEARD_MS, SENT_MS, Aligner
from vivavoce.front_end.front_ends import webrtc
from vivavoce.front_end.microphone import Microphone, Wish
from vivavoce.front_end.playback import Playback

FIRST, SECOND = voice("austen-0880.wav"), voice("austen-0890.wav")
QUESTION = voice("weather-question.wav")
FIRST_AT, SECOND_AT = 1_000 * MS, 1_000 * MS + FIRST.size + 3_000 * MS
LENGTH = SECOND_AT + SECOND.size + 1_000 * MS
SENT = ((FIRST_AT, FIRST), (SECOND_AT, SECOND))
BARGE_IN_AT = SECOND_AT + 2_500 * MS


def heard(line, sent=SENT, wish=Wish("audio/pcm", None, True), step=960):  # noqa: B008  # Frozen.
    """What comes out of the front end if the client is sent these answers, all at once, at these positions."""
    cleaner, waiting, out = Microphone(wish, webrtc), list(sent), []
    for at in range(0, line.size, step // 2):
        while waiting and waiting[0][0] <= at:
            cleaner.play(waiting.pop(0)[1].tobytes(), "audio/pcm")
        chunk = line[at : at + step // 2].tobytes()
        cleaner.receive(len(chunk))
        out.append(cleaner.clean(chunk))
    out.append(cleaner.flush())
    cleaned = np.frombuffer(b"".join(out), np.int16)
    assert cleaned.size == line.size
    return cleaned


def played(lags_ms):
    return [(position + lag * MS, answer) for (position, answer), lag in zip(SENT, lags_ms, strict=True)]


def test_without_cancellation_the_assistant_interrupts_itself():
    assert len(onsets_ms(microphone(LENGTH, played((150, 150)), quieter_db=20))) >= 2


@pytest.mark.parametrize(
    ("lags_ms", "quieter_db"),
    [((50, 50), 6), ((150, 150), 12), ((300, 300), 20), ((250, 100), 12), ((60, 400), 6), ((800, 700), 12)],
)
def test_the_assistant_does_not_interrupt_itself(lags_ms, quieter_db):
    assert onsets_ms(heard(microphone(LENGTH, played(lags_ms), quieter_db))) == []


@pytest.mark.parametrize(("lags_ms", "quieter_db"), [((50, 50), 12), ((150, 150), 20), ((300, 300), 6), ((250, 100), 12)])
def test_the_user_still_interrupts_it(lags_ms, quieter_db):
    line = microphone(LENGTH, played(lags_ms), quieter_db, [(BARGE_IN_AT, QUESTION)])
    onsets = onsets_ms(heard(line))
    assert len(onsets) == 1
    assert 400 <= onsets[0] - BARGE_IN_AT // MS <= 1_300  # The voice begins 450 ms into the recording.


def test_a_voice_between_two_answers_comes_through_as_it_is():
    at = FIRST_AT + FIRST.size + 500 * MS
    line = microphone(LENGTH, played((150, 150)), 6, [(at, QUESTION)])
    cleaned = heard(line)[at : at + QUESTION.size]
    assert abs(level(cleaned) - level(line[at : at + QUESTION.size])) < 1.5


def test_who_wears_headphones_is_heard_in_every_answer():
    line = microphone(LENGTH, said=[(FIRST_AT + 2_500 * MS, QUESTION), (SECOND_AT + 200 * MS, QUESTION)])
    cleaned = heard(line)
    wanted = onsets_ms(line)
    assert len(wanted) == 2
    assert onsets_ms(cleaned) == pytest.approx(wanted, abs=100)
    assert abs(level(cleaned[SECOND_AT:]) - level(line[SECOND_AT:])) < 1.5


def test_a_client_that_stops_playing_has_no_echo_left_to_cancel():
    """After an interruption, what was sent and never played must not be taken out of the user's voice."""
    cut_at = SECOND_AT + 1_500 * MS
    said_at = cut_at + 300 * MS
    stops = microphone(
        LENGTH, [played((150, 150))[0], (SECOND_AT + 150 * MS, SECOND[: 1_500 * MS])], 6, [(said_at, QUESTION)]
    )
    cleaner, out = Microphone(Wish("audio/pcm", None, True), webrtc), []
    for at in range(0, LENGTH, 480):
        for position, answer in SENT:
            if at - 480 < position <= at:
                cleaner.play(answer.tobytes(), "audio/pcm")
        if at - 480 < cut_at <= at:
            cleaner.stop()
        cleaner.receive(960)
        out.append(cleaner.clean(stops[at : at + 480].tobytes()))
    cleaned = np.frombuffer(b"".join(out), np.int16)
    words = slice(said_at, said_at + QUESTION.size)
    assert abs(level(cleaned[words]) - level(stops[words])) < 1.5


def test_an_answer_that_comes_in_pieces_as_it_is_spoken():
    """Pieces of 100 ms, each a little earlier or later than the one before has ended."""
    random = np.random.default_rng(2)
    pieces = []
    for number, at in enumerate(range(0, FIRST.size, 2_400)):
        early = 0 if number == 0 else int(random.integers(-20, 60))
        pieces.append((max(FIRST_AT, FIRST_AT + at - early * MS), FIRST[at : at + 2_400]))
    line = microphone(FIRST_AT + FIRST.size + RATE_HZ, [(FIRST_AT + 180 * MS, FIRST)], 12)
    assert len(onsets_ms(line)) >= 1
    assert onsets_ms(heard(line, pieces)) == []


def test_over_a_telephone():
    line = resampled(microphone(LENGTH, played((150, 300)), 12, [(BARGE_IN_AT, QUESTION)]), RATE_HZ, 8_000)
    cleaner, out = Microphone(Wish("audio/pcmu", None, True), webrtc), []
    encoder = Encoder("audio/pcma")
    waiting = [(at // 3, encoder.feed(answer.tobytes()) + encoder.flush()) for at, answer in SENT]
    for at in range(0, line.size, 160):
        while waiting and waiting[0][0] <= at:
            cleaner.play(waiting.pop(0)[1], "audio/pcma")
        chunk = g711_encode(line[at : at + 160], "audio/pcmu")
        cleaner.receive(len(chunk))
        out.append(cleaner.clean(chunk))
    cleaned = g711_decode(b"".join(out), "audio/pcmu")
    assert len(onsets_ms(line, 8_000)) >= 2
    onsets = onsets_ms(cleaned, 8_000)
    assert len(onsets) == 1
    assert 400 <= onsets[0] - BARGE_IN_AT // MS <= 1_300


def test_commits_in_the_middle_of_frames_do_not_move_the_clock():
    cleaner = Microphone(Wish("audio/pcm", None, True), webrtc)
    for _ in range(50):
        cleaner.receive(1_002)
        assert len(cleaner.clean(bytes(1_002)) + cleaner.flush()) == 1_002
    cleaner.play(b"\x01\x00" * 480, "audio/pcm")
    cleaner.receive(960)
    cleaner.clean(bytes(960))
    assert cleaner._echo._position == cleaner._position == 50 * 501 + 480
    assert cleaner._echo._playback.read(50 * 501 - 1, 50 * 501 + 2).tolist() == [0, 1, 1]


# --- where the echo is ---


def looks(line, sent, from_ms, to_ms):
    aligner = Aligner()
    for ms in range(from_ms, to_ms, 60):
        at = ms * MS
        lag = aligner.look(line[at - HEARD_MS * MS : at], sent[at - SENT_MS * MS : at], RATE_HZ)
        if lag is not None:
            return ms, lag
    return None


@pytest.mark.parametrize("lag_ms", [5, 120, 431, 870])
def test_the_lag_is_found_within_half_a_second(lag_ms):
    sent = np.concatenate([silence(2_000), FIRST])
    line = microphone(sent.size, [(2_000 * MS + lag_ms * MS, FIRST)], 12)
    found = looks(line, sent, 2_000, 4_000)
    assert found is not None
    assert found[0] <= 2_000 + lag_ms + 600
    assert abs(found[1] - lag_ms) < 2


def test_somebody_elses_voice_is_no_echo():
    others = np.concatenate([QUESTION, voice("goforward.wav"), voice("something.wav")])
    line = microphone(2_000 * MS + others.size, said=[(2_000 * MS, others)])
    sent = np.concatenate([silence(2_000), FIRST])
    assert looks(line, sent, 2_000, min(line.size, sent.size) // MS) is None


# --- what was played ---


def test_playback_stands_where_it_was_sent():
    playback = Playback(1_000)
    assert playback.add(10, np.array([1, 2], np.int16), 10)
    assert not playback.add(10, np.array([3], np.int16), 10)
    assert playback.read(8, 16).tolist() == [0, 0, 1, 2, 3, 0, 0, 0]
    assert playback.add(15, np.array([4], np.int16), 15), "there was a gap"
    assert playback.read(10, 17).tolist() == [1, 2, 3, 0, 0, 4, 0]


def test_playback_that_comes_late_but_was_not_read_yet_follows():
    playback = Playback(1_000)
    playback.add(10, np.array([1, 2], np.int16), 0)
    assert not playback.add(14, np.array([3], np.int16), 12)
    assert playback.read(10, 14).tolist() == [1, 2, 3, 0]


def test_what_is_cut_is_not_read_and_what_is_old_is_forgotten():
    playback = Playback(100)
    playback.add(0, np.ones(500, np.int16), 0)
    playback.cut(300)
    assert playback.end == 300
    assert playback.read(298, 302).tolist() == [1, 1, 0, 0]
    playback.forget(290)
    assert playback.read(190, 192).tolist() == [1, 1]
    playback.forget(10_000)
    assert playback.read(0, 500).sum() == 0
    assert playback.add(10_000, np.ones(5, np.int16), 10_000)
    assert playback.read(9_999, 10_006).tolist() == [0, 1, 1, 1, 1, 1, 0]
