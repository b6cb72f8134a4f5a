"""Plays the dialogues of `assistant/*.md` and of the how-to page."""

import pytest

from tests.engines.assistant_dialogues import Scene, dialogues

DIALOGUES = dict(dialogues())


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogue(name: str) -> None:
    scene = Scene()
    for place, kind, text in DIALOGUES[name]:
        scene.play(place, kind, text)


def test_each_dialogue_has_a_name_of_its_own() -> None:
    assert len(DIALOGUES) == len(list(dialogues())) > 100
