"""Fixed texts: greetings in some languages, jokes, stories, secrets."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final[dict[str, dict[str, str]]] = {
    "english": {"hello": "Hello.", "goodbye": "Goodbye.", "thank you": "Thank you."},
    "french": {"hello": "Bonjour.", "goodbye": "Au revoir.", "thank you": "Merci."},
    "german": {"hello": "Guten Tag.", "goodbye": "Auf Wiedersehen.", "thank you": "Danke."},
    "spanish": {"hello": "Hola.", "goodbye": "Adiós.", "thank you": "Gracias."},
    "italian": {"hello": "Ciao.", "goodbye": "Arrivederci.", "thank you": "Grazie."},
    "portuguese": {"hello": "Olá.", "goodbye": "Adeus.", "thank you": "Obrigado."},
    "dutch": {"hello": "Hallo.", "goodbye": "Tot ziens.", "thank you": "Dank u."},
    "swedish": {"hello": "Hej.", "goodbye": "Hej då.", "thank you": "Tack."},
    "polish": {"hello": "Dzień dobry.", "goodbye": "Do widzenia.", "thank you": "Dziękuję."},
    "turkish": {"hello": "Merhaba.", "goodbye": "Hoşça kal.", "thank you": "Teşekkürler."},
    "japanese": {"hello": "Konnichiwa.", "goodbye": "Sayonara.", "thank you": "Arigato."},
    "chinese": {"hello": "Ni hao.", "goodbye": "Zai jian.", "thank you": "Xie xie."},
    "latin": {"hello": "Salve.", "goodbye": "Vale.", "thank you": "Gratias."},
}
"""What can be said in them."""

JOKES: Final = (
    "Why did the microphone break up with the loudspeaker? There was too much feedback.",
    "I told my clock a joke. It laughed for a second.",
    "There are ten kinds of people: those who count in binary, and those who do not.",
    "A byte walks into a bar. The barman asks what is wrong. The byte says: a parity error. The barman says: you "
    "look a bit off.",
)

STORIES: Final = (
    "Once upon a time there was a lighthouse keeper who spoke to every ship that passed. Most of them never "
    "answered. One foggy night a small boat lost its way, and its radio was broken. The keeper could not see it, so "
    "she began to sing into the wind. The sailors followed the voice, turned away from the rocks, and came safely "
    "into the harbor. In the morning they brought her fresh bread, and from then on every ship answered.",
    "An old clockmaker had a parrot that had learned to tick. One day all the clocks in the shop stopped at once, "
    "and nobody in the village knew the time. The parrot went on ticking, as steadily as ever. So the people came "
    "to the shop, one after the other, and counted along. When the clocks were mended, they were set by the parrot. "
    "They have been a few minutes late ever since, and nobody has ever complained.",
    "A young fox wanted to know what the moon was made of. She asked the owl, who said it was silver. She asked the "
    "mouse, who said it was cheese. So she climbed the highest hill and waited. When the moon came up, she "
    "stretched out her paw and touched it in the water of a pond. It was cold, and it broke into a thousand lights. "
    "Now I know, said the fox. The moon is made of water, and it likes to play.",
)

SECRETS: Final = (
    "I am only a set of rules. Do not tell anyone.",
    "I do not understand half of what I hear.",
)
