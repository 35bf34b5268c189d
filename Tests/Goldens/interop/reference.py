"""Writes the references of files as transformers and PEFT make them: python reference.py, with torch, transformers 5 and peft.

bases/NAME is a model folder of few and random weights. models/NAME is another one, or has in changes.json what it changes of a
base: `config`, `generation_config` (replaced members, null for none) and `files` (removed); its tensors replace or add to those of
the base, and those under `renamed` take other names. adapters/NAME has an adapter for the base that case.json names.
Each has case.safetensors: input_ids [n], labels [m] (of a decoder equal to input_ids), token types where a tokenizer gives some,
and logits in fp32.
"""

import json
import pathlib
import shutil
import tempfile

import torch
from peft import (
    IA3Config, LNTuningConfig, LoraConfig, PeftModel, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig,
    get_peft_model)
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, MT5Config, MT5ForConditionalGeneration,
    RobertaConfig, RobertaForSequenceClassification, T5Config, T5ForConditionalGeneration)

here = pathlib.Path(__file__).parent
encoder = dict(
    vocab_size=24, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
    max_position_embeddings=20, num_labels=2)
t5 = dict(
    vocab_size=24, d_model=8, d_kv=4, num_heads=2, d_ff=12, num_layers=2, relative_attention_num_buckets=8,
    relative_attention_max_distance=16, decoder_start_token_id=0)
bases = {
    "t5": (T5ForConditionalGeneration, T5Config(**t5)),
    "mt5": (MT5ForConditionalGeneration, MT5Config(**{**t5, "num_layers": 1})),
    "gpt2": (GPT2LMHeadModel, GPT2Config(
        vocab_size=24, n_positions=24, n_embd=8, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1)),
    "bert": (BertForSequenceClassification, BertConfig(**encoder)),
    "roberta": (RobertaForSequenceClassification, RobertaConfig(**encoder, type_vocab_size=2, pad_token_id=1)),
}


def randomize(module, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, weight in module.named_parameters():
            is_scale = weight.dim() == 1 and key.endswith("weight")
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4 + (1.0 if is_scale else 0.0))


INPUTS = [5, 9, 3, 17, 8, 11, 1]
LABELS = [7, 4, 12, 1]


def run(model, inputs=None, types=None):
    """Logits of one example, as a forward pass with labels gives them."""
    ids = torch.tensor([inputs or INPUTS])
    tensors = {"input_ids": ids[0]}
    model.eval()
    with torch.no_grad():
        config = model.config
        if config.is_encoder_decoder:
            labels = torch.tensor([LABELS])
            output = model(input_ids=ids, labels=labels)
            tensors["labels"] = labels[0]
        elif config.model_type == "gpt2":
            output = model(input_ids=ids)
            tensors["labels"] = ids[0].clone()
        else:
            more = {} if types is None else {"token_type_ids": torch.tensor([types])}
            output = model(input_ids=ids, attention_mask=torch.ones_like(ids), **more)
    return {**tensors, "logits": output.logits[0].float().contiguous()}


def make_bases():
    for index, (name, (kind, config)) in enumerate(bases.items()):
        model = kind(config)
        randomize(model, index)
        folder = here / "bases" / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        types = [0, 0, 0, 0, 1, 1, 1] if name == "bert" else None
        save_file(run(kind.from_pretrained(folder), types=types), folder / "case.safetensors")


def variant(name, base, config=None, generation=None, tensors=None, renamed=None, removed=(), dropped=()):
    """A model that differs from a base in some members of its configuration and some tensors."""
    folder = here / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    work = pathlib.Path(tempfile.gettempdir()) / f"interop-{name}"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(here / "bases" / base, work)
    members = json.loads((work / "config.json").read_text())
    for key, value in (config or {}).items():
        members[key] = value
        if value is None:
            del members[key]
    (work / "config.json").write_text(json.dumps(members))
    if generation is not None:
        (work / "generation_config.json").write_text(json.dumps(generation))
    weights = load_file(work / "model.safetensors")
    for key in dropped:
        del weights[key]
    for old, new in (renamed or {}).items():
        weights[new] = weights.pop(old)
    weights.update(tensors or {})
    save_file(weights, work / "model.safetensors", metadata={"format": "pt"})
    for file in removed:
        (work / file).unlink(missing_ok=True)
    changes = {
        "base": base, "config": config or {}, "generation_config": generation, "renamed": renamed or {},
        "dropped": list(dropped), "removed": list(removed)}
    (folder / "changes.json").write_text(json.dumps(changes, indent=2) + "\n")
    if tensors:
        save_file(tensors, folder / "tensors.safetensors")
    return work, folder


def noise(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.4


def model_case(name, base, **changes):
    work, folder = variant(name, base, **changes)
    save_file(run(bases[base][0].from_pretrained(work)), folder / "case.safetensors")


def make_models():
    table = [24, 8]
    model_case("mt5_own_head", "mt5", tensors={"lm_head.weight": noise(table, 1)}, config={"tie_word_embeddings": False})
    model_case("t5_own_encoder_embedding", "t5", tensors={"encoder.embed_tokens.weight": noise(table, 2)})
    model_case("t5_own_decoder_embedding", "t5", tensors={"decoder.embed_tokens.weight": noise(table, 3)})
    model_case(
        "t5_own_everything", "t5",
        tensors={f"{key}.weight": noise(table, 4 + i) for i, key in enumerate(
            ["encoder.embed_tokens", "decoder.embed_tokens", "lm_head"])})
    model_case("t5_only_decoder_name", "t5", renamed={"shared.weight": "decoder.embed_tokens.weight"})
    model_case("t5_only_encoder_name", "t5", renamed={"shared.weight": "encoder.embed_tokens.weight"})
    model_case("t5_only_head_name", "t5", renamed={"shared.weight": "lm_head.weight"})
    model_case(
        "t5_head_and_encoder_names", "t5", renamed={"shared.weight": "encoder.embed_tokens.weight"},
        tensors={"lm_head.weight": noise(table, 8)})
    model_case("gpt2_own_head", "gpt2", tensors={"lm_head.weight": noise(table, 9)})
    model_case("gpt2_only_head_name", "gpt2", renamed={"transformer.wte.weight": "lm_head.weight"})
    model_case("t5_dense_act", "t5", config={"dense_act_fn": "gelu"})
    model_case("t5_dense_act_silu", "t5", config={"feed_forward_proj": "gelu", "dense_act_fn": "silu"})
    wide = {}
    for stack, layer in [("encoder", 1), ("decoder", 2)]:
        for block in range(2):
            path = f"{stack}.block.{block}.layer.{layer}.DenseReluDense"
            wide[f"{path}.wi_0.weight"] = noise([12, 8], 20 + block)
            wide[f"{path}.wi_1.weight"] = noise([12, 8], 30 + block)
    plain = [key.replace("wi_0", "wi") for key in wide if "wi_0" in key]
    model_case(
        "t5_is_gated", "t5", config={"feed_forward_proj": "relu", "is_gated_act": True, "dense_act_fn": "gelu_new"},
        tensors=wide, dropped=plain)
    model_case(
        "t5_start_tokens", "t5", config={"decoder_start_token_id": 3},
        generation={"decoder_start_token_id": 6, "eos_token_id": 1, "pad_token_id": 0})
    model_case("t5_pad", "t5", config={"pad_token_id": 2}, generation={"pad_token_id": 0, "decoder_start_token_id": 0})
    model_case("t5_default_width", "t5", config={"scale_decoder_outputs": False})


def adapter(name, base, config, change=None, rename=None, keep=None, own=None, seed=50, types=None, **saving):
    """An adapter of random values, as PEFT saves it; the logits are those of the files after the changes.

    change alters adapter_config.json, rename gives tensors other names, own adds tensors.
    """
    kind, _ = bases[base]
    model = get_peft_model(kind.from_pretrained(here / "bases" / base), config)
    trained = {key for key, weight in model.named_parameters() if weight.requires_grad}
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if key in trained:
                scale = "magnitude" in key or (weight.dim() == 1 and key.endswith("weight"))
                weight.copy_(torch.randn(weight.shape, generator=generator).abs() + 0.3 if scale else
                             torch.randn(weight.shape, generator=generator) * 0.4)
    folder = here / "adapters" / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **saving)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    members = json.loads(path.read_text())
    members["base_model_name_or_path"] = base
    for key, value in (change or {}).items():
        members[key] = value
    path.write_text(json.dumps(members, indent=2))
    weights = load_file(folder / "adapter_model.safetensors")
    weights = {rename(key) if rename else key: value for key, value in weights.items()}
    weights.update(own or {})
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    loaded = PeftModel.from_pretrained(kind.from_pretrained(here / "bases" / base), folder)
    save_file(run(loaded, types=types), folder / "case.safetensors")
    (folder / "case.json").write_text(json.dumps({"base": base}) + "\n")
    print(name, *sorted(weights), sep="\n  ")


def make_adapters():
    s2s, cls, lm = "SEQ_2_SEQ_LM", "SEQ_CLS", "CAUSAL_LM"
    lora = dict(r=2, lora_alpha=3)
    adapter(
        "lora_alpha_pattern_order", "t5", LoraConfig(task_type=s2s, target_modules=["q", "v"], **lora),
        change={"alpha_pattern": {"decoder.*q": 9, "block.0.*": 5, ".*SelfAttention.q": 1, "q": 7}})
    adapter(
        "lora_rank_pattern_order", "t5",
        LoraConfig(task_type=s2s, target_modules=["q", "v"], rank_pattern={"decoder.*q": 3, ".*q": 1}, **lora),
        change={"rank_pattern": {"decoder.*q": 3, ".*q": 1}})
    for base in ["bert", "roberta"]:
        adapter(f"lora_old_classifier_{base}", base, LoraConfig(task_type=cls, **lora), change={"modules_to_save": None})
        adapter(f"lora_bias_all_{base}", base, LoraConfig(task_type=cls, bias="all", **lora))
        adapter(
            f"lora_norms_and_biases_{base}", base,
            LoraConfig(task_type=cls, bias="all", modules_to_save=["LayerNorm"], **lora))
    adapter("lora_bias_all_gpt2", "gpt2", LoraConfig(task_type=lm, bias="all", fan_in_fan_out=True, **lora))
    adapter("lora_embeddings_t5", "t5", LoraConfig(task_type=s2s, **lora), save_embedding_layers=True)
    adapter(
        "lora_embeddings_gpt2", "gpt2", LoraConfig(task_type=lm, fan_in_fan_out=True, **lora), save_embedding_layers=True)
    adapter("lora_embeddings_bert", "bert", LoraConfig(task_type=cls, **lora), save_embedding_layers=True)
    table = [24, 8]
    adapter(
        "lora_other_embeddings_t5", "t5", LoraConfig(task_type=s2s, **lora), save_embedding_layers=True,
        own={"base_model.model.shared.weight": noise(table, 60), "base_model.model.lm_head.weight": noise(table, 60)})
    adapter(
        "lora_other_embeddings_gpt2", "gpt2", LoraConfig(task_type=lm, fan_in_fan_out=True, **lora),
        own={"base_model.model.transformer.wte.weight": noise(table, 61)})
    adapter("ia3_embeddings_t5", "t5", IA3Config(task_type=s2s), save_embedding_layers=True)
    adapter(
        "lora_magnitude_weight", "t5", LoraConfig(task_type=s2s, use_dora=True, **lora),
        rename=lambda key: key + ".weight" if key.endswith("magnitude_vector") else key)
    named = lambda key: key.replace("lora_A.", "lora_A.default.").replace("lora_B.", "lora_B.default.")
    adapter("lora_adapter_name", "t5", LoraConfig(task_type=s2s, **lora), rename=named)
    adapter(
        "lora_exclude_names", "t5",
        LoraConfig(task_type=s2s, target_modules=["q", "v"], exclude_modules=["encoder.block.1.layer.0.SelfAttention.q", "v"], **lora))
    adapter(
        "lora_exclude_expression", "t5",
        LoraConfig(task_type=s2s, target_modules="all-linear", exclude_modules=r".*EncDec.*|.*\.wo", **lora))
    adapter("lora_layers_pattern_empty", "t5",
            LoraConfig(task_type=s2s, target_modules=["q"], layers_to_transform=[1], layers_pattern="", **lora))
    adapter("lora_modules_to_save_gpt2", "gpt2", LoraConfig(
        task_type=lm, modules_to_save=["ln_f", "mlp.c_fc"], fan_in_fan_out=True, **lora))
    adapter("ia3_exclude", "t5", IA3Config(
        task_type=s2s, target_modules=["k", "v", "wo"], feedforward_modules=["wo"], exclude_modules=r"encoder.*"))
    adapter("ia3_modules_to_save", "gpt2", IA3Config(task_type=lm, modules_to_save=["ln_f"], fan_in_fan_out=True))
    adapter("ia3_bert", "bert", IA3Config(task_type=cls))
    adapter("ln_expression", "t5", LNTuningConfig(task_type=s2s, target_modules=r".*\.layer\.0\.layer_norm"))
    adapter("ln_modules_to_save", "gpt2", LNTuningConfig(
        task_type=lm, target_modules=["ln_1", "ln_2"], modules_to_save=["c_fc"]))
    adapter("ln_exclude", "bert", LNTuningConfig(
        task_type=cls, target_modules=["LayerNorm"], exclude_modules=["embeddings.LayerNorm"]))
    adapter("ln_default_targets", "gpt2", LNTuningConfig(task_type=lm), change={"target_modules": None})
    p = dict(num_virtual_tokens=3)
    adapter("p_tuning_dropout", "t5", PromptEncoderConfig(
        task_type=s2s, encoder_hidden_size=8, encoder_dropout=0.2, **p))
    adapter(
        "prompt_embeddings_t5", "t5", PromptTuningConfig(task_type=s2s, **p), save_embedding_layers=True,
        own={"base_model.shared.weight": noise(table, 62), "base_model.lm_head.weight": noise(table, 62)})
    adapter("prompt_bert", "bert", PromptTuningConfig(task_type=cls, **p), change={"modules_to_save": None})


def generation(name, base, file, config=None, arguments=None):
    """What `generate` answers to two texts, with a generation_config.json of these members, or none."""
    work = pathlib.Path(tempfile.gettempdir()) / f"interop-generation-{name}"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(here / "bases" / base, work)
    members = {**json.loads((work / "config.json").read_text()), **(config or {})}
    (work / "config.json").write_text(json.dumps(members))
    (work / "generation_config.json").unlink()
    if file is not None:
        (work / "generation_config.json").write_text(json.dumps(file))
    model = bases[base][0].from_pretrained(work).eval()
    answers = []
    for ids in GENERATION_INPUTS:
        ids = torch.tensor([ids])
        output = model.generate(ids, attention_mask=torch.ones_like(ids), **(arguments or {}))
        answers.append(output.tolist())
    return {
        "name": name, "base": base, "config": config or {}, "generation_config": file, "arguments": arguments or {},
        "inputs": GENERATION_INPUTS, "sequences": answers}


GENERATION_INPUTS = [[5, 9, 3, 17, 8, 11, 6], [20, 4, 15]]


def make_generations():
    t5 = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    gpt2 = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1}
    cases = []
    for base, ids in [("t5", t5), ("gpt2", gpt2)]:
        common = {"t5": [16, 7, 23, 5], "gpt2": [9, 18, 7, 11]}[base]
        ends = [1, *common]
        settings = {
            "plain": {}, "max_new_tokens": {"max_new_tokens": 5}, "max_length": {"max_length": 9},
            "min_length": {"min_length": 9, "max_new_tokens": 12, "eos_token_id": ends},
            "min_new_tokens": {"min_new_tokens": 4, "max_new_tokens": 7, "eos_token_id": ends},
            "suppress": {"suppress_tokens": common[:3]},
            "begin_suppress": {"begin_suppress_tokens": common[:3]},
            "bad_words": {"bad_words_ids": [common[:1], common[1:3], common[1:2] * 2, common[3:] * 3, [1]]},
            "forced_bos": {"forced_bos_token_id": 7}, "forced_eos": {"forced_eos_token_id": 1, "max_length": 11},
            "forced_eos_list": {"forced_eos_token_id": [4, 1], "max_new_tokens": 4},
            "forced_bos_begin_suppress": {"forced_bos_token_id": 7, "begin_suppress_tokens": [*common[:3], 12]},
            "beams": {"num_beams": 3, "length_penalty": 0.4, "early_stopping": True, "max_new_tokens": 6},
            "beams_never": {"num_beams": 2, "length_penalty": 2.0, "early_stopping": "never", "max_length": 12},
            "beams_forced": {"num_beams": 3, "forced_eos_token_id": 1, "max_new_tokens": 5, "bad_words_ids": [common[1:2] * 2, common[:1]]},
            "several": {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 5},
            "penalties": {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2, "max_new_tokens": 8},
        }
        for name, more in settings.items():
            cases.append(generation(f"{base}_{name}", base, {**ids, **more}))
        cases.append(generation(
            f"{base}_arguments_win", base, {**ids, "num_beams": 3, "max_length": 30, "suppress_tokens": [12], "min_length": 9},
            arguments={"num_beams": 1, "max_new_tokens": 6, "suppress_tokens": common[:1], "min_new_tokens": 2}))
        cases.append(generation(
            f"{base}_from_model_config", base, None, config={**ids, "num_beams": 3, "max_length": 12, "suppress_tokens": common[1:3]}))
    (here / "generation.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    make_bases()
    make_models()
    make_adapters()
    make_generations()
