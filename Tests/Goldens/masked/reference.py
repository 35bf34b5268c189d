"""Writes the references of the head that names masked tokens: python reference.py, with torch and transformers 5.

For RoBERTa and BERT a model folder of random weights and case.safetensors: input_ids, attention_mask and labels [3, 9]
(-100: no target), logits [3, 9, V] in fp32, the mean loss, and the gradient of the loss at every weight.
"""

import pathlib

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, RobertaConfig, RobertaForMaskedLM

here = pathlib.Path(__file__).parent
shape = dict(
    vocab_size=48, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=16, attn_implementation="eager")
for name, config, kind in [
    ("roberta", RobertaConfig(**shape, type_vocab_size=1, pad_token_id=1), RobertaForMaskedLM),
    ("bert", BertConfig(**shape, pad_token_id=0, hidden_act="relu"), BertForMaskedLM),
]:
    torch.manual_seed(7)
    model = kind(config).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            is_scale = "norm" in key.lower() and key.endswith("weight")
            weight.copy_(torch.randn_like(weight) * 0.3 + (1.0 if is_scale else 0.0))
    lengths = [9, 4, 6]
    ids = torch.full((3, 9), config.pad_token_id)
    mask = torch.zeros((3, 9), dtype=torch.long)
    labels = torch.full((3, 9), -100)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(4, 48, (length,))
        mask[row, :length] = 1
    # The second text has no target.
    for row, position in [(0, 1), (0, 2), (0, 7), (2, 0), (2, 5)]:
        labels[row, position] = int(torch.randint(4, 48, ()))
    output = model(input_ids=ids, attention_mask=mask, labels=labels)
    output.loss.backward()
    gradients = {f"grad/{key}": value.grad for key, value in model.named_parameters()}
    (here / name).mkdir(exist_ok=True)
    model.save_pretrained(here / name)
    save_file(
        {"input_ids": ids, "attention_mask": mask, "labels": labels, "logits": output.logits.detach(),
         "loss": output.loss.detach().reshape(1), **gradients},
        here / name / "case.safetensors")
