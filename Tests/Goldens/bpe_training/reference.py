"""Writes reference.json: what the trainer of the package tokenizers makes of some texts. python reference.py"""

import json
import pathlib

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

texts = [
    "The plot of the film isn't bad, and the other plots aren't either.", "aaaa aaaaaa aaa  aa\ta", "banana bandana ananas",
    "naïve café, déjà vu: 日本語の文 and 123 4567 890", "we're the ones who'll see that they've seen it; I'd say it's so",
    "  leading and trailing spaces  \n\n and lines\n", "", "zzz zz zzzz zz zzz", "the the the then there these those this",
] + [f"number {n} of a list of {n * n} things that begin with {'abc'[n % 3] * (n % 4 + 1)}" for n in range(40)]
cases = []
for size, special in [(300, ["<|endoftext|>"]), (340, ["<s>", "<pad>", "</s>", "<unk>"])]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    cases.append({"vocab_size": size, "special_tokens": special, "pieces": pieces, "merges": model["merges"]})
here = pathlib.Path(__file__).parent
(here / "reference.json").write_text(json.dumps({"texts": texts, "cases": cases}, ensure_ascii=False) + "\n")
