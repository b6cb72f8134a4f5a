"""A Llama of random weights that chats: two layers, a few hundred tokens, a template with tools. Always the same nonsense.

Its end token is never the likeliest: an answer goes on until the limit, or until nobody listens.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ENDLESS_TOKENS = 100_000
"""Minutes of work, for whoever sets no limit and does not go away."""
TEMPLATE = (
    "{% if tools %}<|tools|>{% for tool in tools %}{{ tool | tojson }}{% endfor %}<|end|>{% endif %}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_SPECIAL = ["<|end|>", "<|unknown|>", "<|tools|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
_BOOK = """the cat sat on the mat and the dog ran over the hill to see what the cat had seen
while a small bird sang in the old tree by the sea where the wind goes round and the ships come home
at night with fish and salt and stories of far places {"name": []}"""


def write_llama(folder: Path) -> Path:
    """Write the model and its tokenizer into a folder, as the hub has them."""
    tokenizer = _tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    torch.manual_seed(7)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=2 * ENDLESS_TOKENS,
        eos_token_id=end,
        initializer_range=0.5,
        **shape,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=end, pad_token_id=end, max_new_tokens=ENDLESS_TOKENS
    )
    with torch.no_grad():
        for token in _SPECIAL:
            model.lm_head.weight[tokenizer.convert_tokens_to_ids(token)] = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<|unknown|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(_BOOK.splitlines(), trainers.BpeTrainer(vocab_size=400, special_tokens=_SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", unk_token="<|unknown|>", chat_template=TEMPLATE
    )
