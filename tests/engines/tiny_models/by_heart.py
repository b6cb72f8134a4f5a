"""How a tiny model learns dialogues by heart: their tokens, their messages, and the rows that guess each next word."""

from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

Turn = tuple[str, str]
"""What the user says (empty: audio; after `tool:` what a tool returned) and the answer."""
PLAIN = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]


def byte_level(corpus: list[str], vocabulary: int, special: list[str]) -> Tokenizer:
    """A tokenizer of so many tokens, trained on these words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in PLAIN])
    return tokenizer


def messages(turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
    """The turns as a chat template takes them."""
    found: list[dict[str, Any]] = []
    for said, answer in turns:
        if said.startswith("tool:"):
            found.append({"role": "tool", "content": said.removeprefix("tool:")})
        else:
            found.append({"role": "user", "content": said or [{"type": "audio"}]})
        found.append({"role": "assistant", "content": answer})
    return found


def answer_places(ids: list[int], tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Where a token of an answer, or the end of one, has to be guessed next."""
    start, end, assistant = (tokenizer.convert_tokens_to_ids(token) for token in ("<|im_start|>", "<|im_end|>", "assistant"))
    places, speaking, begun = [], False, 0
    for place, token in enumerate(ids):
        if token == end:
            speaking = False
        if speaking and place - begun >= 2:
            places.append(place)
        if token == start and ids[place + 1] == assistant:
            speaking, begun = True, place
    return places


def learn_words(head: torch.nn.Linear, states: list[torch.Tensor], wanted: list[int], vocabulary: int) -> None:
    """Solve the rows so that these words follow these last hidden states: least squares."""
    known = torch.stack(states)
    scores = torch.nn.functional.one_hot(torch.tensor(wanted), vocabulary).float() * 20
    gram = known @ known.T + 0.1 * torch.eye(len(known))
    head.weight.copy_((known.T @ torch.linalg.solve(gram, scores)).T)
