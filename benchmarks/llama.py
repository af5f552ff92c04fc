"""A decoder of the same size by `transformers`: Llama with a static cache."""

from __future__ import annotations

from typing import Any

from timing import Job
from valle.training.models.sizes import ARSize

MISSING = "transformers is not installed: pip install 'valle[bench]'"


def make_job(size: ARSize, prompt_frames: int, frames: int) -> Job | None:
    """A job that generates `frames` tokens after a prompt; None without the package.

    Llama's feed-forward block has three matrices where ours has two: two thirds of the width keep
    the number of weights.
    """
    try:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError:
        return None
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1025,
        hidden_size=size.width,
        intermediate_size=2 * size.feed_forward // 3,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=size.max_positions,
        pad_token_id=1024,
        bos_token_id=None,
        eos_token_id=None,
    )
    model: Any = LlamaForCausalLM(config).eval()
    prompt = torch.randint(0, 1024, (1, prompt_frames))

    def generate() -> None:
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=frames,
            do_sample=True,
            top_p=0.9,
            cache_implementation="static",
        )

    return generate
