"""Writes tokenizers.json: what transformers' AutoTokenizer makes of folders: python reference_tokenizers.py.

Each case has the folder of ../tokenizers that it starts from (none: an empty one), which of its files are copied, the `model_type`
of config.json, files of its own, and for some texts the ids; `refused` is a part of the key for which this program refuses the
folder, whatever transformers makes of it.
"""

import json
import pathlib
import shutil
import tempfile

from transformers import AutoTokenizer

here = pathlib.Path(__file__).parent
goldens = here.parent / "tokenizers"
TEXTS = ["a <new> b <x> c <y>d", "the Hello WORLD", "a <extra_id_0> b<extra_id_1>c", "x<extra_id_2></s> y", ""]
PAIR = ("a the", "b c")
added = dict(lstrip=True, normalized=False, rstrip=False, single_word=False)


def metaspace():
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}


def template(single, pair, tokens):
    def item(name):
        kind = "Sequence" if name in "AB" else "SpecialToken"
        return {kind: {"id": name, "type_id": 0}}
    return {
        "type": "TemplateProcessing", "single": [item(x) for x in single], "pair": [item(x) for x in pair],
        "special_tokens": {x: {"id": x, "ids": [i], "tokens": [x]} for x, i in tokens.items()}}


def unigram(sentinels=3, listed=True, **changes):
    pieces = ["▁", "▁the", "▁a", "a", "b", "c", "d", "e", "h", "t", "x", "y", "▁x", "▁b", "<", ">", "n", "w", "i", "_", "0", "1", "/", "s"]
    vocab = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]] + [[p, -2.0 - i / 8] for i, p in enumerate(pieces)]
    tokens = [{"id": i, "content": v[0], "special": True, **{**added, "lstrip": False}} for i, v in enumerate(vocab[:3])]
    for k in reversed(range(sentinels)):
        if listed:
            tokens.append({"id": len(vocab), "content": f"<extra_id_{k}>", "special": True, **{**added, "lstrip": False}})
        vocab.append([f"<extra_id_{k}>", 0.0])
    file = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace()]},
        "post_processor": template(["A", "</s>"], ["A", "</s>", "B", "</s>"], {"</s>": 1}), "decoder": metaspace(),
        "model": {"type": "Unigram", "unk_id": 2, "vocab": vocab, "byte_fallback": False}}
    return {**file, **changes}


def wordpiece(**changes):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "hello", "world", "a", "b", "c", "##d", "d", "<", ">", "x", "y"]
    tokens = [{"id": i, "content": p, "special": True, **{**added, "lstrip": False}} for i, p in enumerate(pieces[:5])]
    file = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
            "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {p: i for i, p in enumerate(pieces)}}}
    return {**file, **changes}


def of(base, change, name="tokenizer.json"):
    """A file of a golden folder with a change."""
    file = json.loads((goldens / base / name).read_text())
    change(file)
    return file


cases = []


def case(name, model_type, base=None, copied=None, refused=None, **files):
    """files: content by name without .json."""
    folder = pathlib.Path(tempfile.gettempdir()) / "interop-tokenizer"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    own = {f"{key}.json": value for key, value in files.items()}
    copied = [] if base is None else copied or [x.name for x in (goldens / base).iterdir() if x.name not in own]
    for file in copied:
        shutil.copy(goldens / base / file, folder)
    for file, content in own.items():
        (folder / file).write_text(json.dumps(content))
    config = {"model_type": model_type, **own.get("config.json", {})}
    (folder / "config.json").write_text(json.dumps(config))
    entry = {
        "name": name, "model_type": model_type, "base": base, "copied": sorted(copied),
        "files": {**own, "config.json": config}, "refused": refused}
    if refused is None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        entry["count"] = len(tokenizer)
        entry["texts"] = [[text, tokenizer(text).input_ids] for text in TEXTS]
        entry["pair"] = [*PAIR, tokenizer(*PAIR).input_ids]
    cases.append(entry)


def config_of(base, **changes):
    return of(base, lambda file: file.update(changes), "tokenizer_config.json")


for base, model_type in [("gpt2", "gpt2"), ("roberta", "roberta"), ("t5", "t5"), ("bert", "bert")]:
    def special(name, **changes):
        case(f"{base}_{name}", model_type, base, tokenizer_config=config_of(base, **changes))
    special("additional", additional_special_tokens=["<new>", "<y>"])
    special("extra", extra_special_tokens=["<x>", "<new>"])
    special("extra_wins", extra_special_tokens=["<x>"], additional_special_tokens=["<y>"])
    special("object", extra_special_tokens={"new_token": "<new>", "second": "<x>"}, additional_special_tokens=["<y>"])
    special("own_key", y_token="<y>", extra_special_tokens=["<new>"])
    special("flags", additional_special_tokens=[{"content": "<new>", "__type": "AddedToken", **added}, "<x>"])
    special("own_key_flags", image_token={"content": "<x>", "__type": "AddedToken", **added})
    case(f"{base}_map", model_type, base, special_tokens_map={"additional_special_tokens": ["<x>", "<new>"]})
    case(
        f"{base}_map_extra", model_type, base, tokenizer_config=config_of(base, additional_special_tokens=["<y>"]),
        special_tokens_map={"extra_special_tokens": ["<x>"], "z_token": "<new>"})

plain = {"tokenizer_class": "T5Tokenizer", "extra_ids": 3}
case("t5_json", "t5", tokenizer=unigram(), tokenizer_config=plain)
case("t5_json_alone", "t5", tokenizer=unigram(), tokenizer_config={"extra_ids": 3})
case("mt5_json", "mt5", tokenizer=unigram(), tokenizer_config=plain)
case("t5_json_unlisted", "t5", tokenizer=unigram(listed=False), tokenizer_config=plain)
case("t5_json_no_sentinels", "t5", tokenizer=unigram(0), tokenizer_config=plain)
case("t5_json_extra", "t5", tokenizer=unigram(), tokenizer_config={**plain, "extra_special_tokens": ["<new>"]})
case(
    "t5_json_extra_unlisted", "t5", tokenizer=unigram(listed=False),
    tokenizer_config={**plain, "extra_special_tokens": ["<new>"]})
case("t5_json_map", "t5", tokenizer=unigram(), tokenizer_config=plain, special_tokens_map={"additional_special_tokens": ["<new>", "<extra_id_0>", "<extra_id_1>", "<extra_id_2>"]})
case("t5_json_spaces", "t5", tokenizer=unigram(normalizer={"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}), tokenizer_config=plain)
case("t5_json_of_transformers_4", "t5", tokenizer=unigram(normalizer={"type": "Sequence", "normalizers": [
    {"type": "Strip", "strip_left": False, "strip_right": True}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]},
    pre_tokenizer=metaspace()), tokenizer_config=plain)
case("t5_json_metaspace_alone", "t5", tokenizer=unigram(pre_tokenizer=metaspace()), tokenizer_config=plain)
case("t5_json_eos", "t5", tokenizer=unigram(), tokenizer_config={**plain, "eos_token": "<unk>"})
case("t5_json_bos", "t5", tokenizer=unigram(), tokenizer_config={**plain, "bos_token": "<x>"})
fast = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
case("t5_fast", "t5", tokenizer=unigram(), tokenizer_config=fast)
case("t5_backend_of_config", "t5", tokenizer=unigram(), config={"tokenizer_class": "TokenizersBackend"})
case("t5_fast_no_end", "t5", tokenizer=unigram(post_processor=None), tokenizer_config=fast, refused="post_processor")
case("t5_fast_metaspace_alone", "t5", tokenizer=unigram(pre_tokenizer=metaspace()), tokenizer_config=fast, refused="pre_tokenizer")
case("t5_lowercase", "t5", tokenizer=unigram(normalizer={"type": "Lowercase"}), tokenizer_config=plain, refused="normalizer.type")
case("t5_nfkc", "t5", tokenizer=unigram(normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}]}), tokenizer_config=fast, refused="normalizer.normalizers[0].type")
case("t5_byte_fallback", "t5", tokenizer=unigram(model={**unigram()["model"], "byte_fallback": True}), tokenizer_config=plain, refused="model.byte_fallback")

# Byte-level BPE on a T5, as CodeT5 has it.
case("codet5", "t5", "roberta", tokenizer_config=config_of("roberta", additional_special_tokens=["<extra_id_0>", "<extra_id_1>"]))
case("roberta_of_config", "t5", "roberta", ["tokenizer.json"], config={"tokenizer_class": "RobertaTokenizerFast"})
case("gpt2_on_roberta", "roberta", "gpt2")

backend = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
case("gpt2_fast", "gpt2", "gpt2", ["tokenizer.json"], tokenizer_config=backend)
case("gpt2_fast_prefix", "gpt2", tokenizer=of("gpt2", lambda x: x["pre_tokenizer"].update(add_prefix_space=True)), tokenizer_config=backend)
case("roberta_fast", "roberta", "roberta", ["tokenizer.json"], tokenizer_config={"tokenizer_class": "PreTrainedTokenizerFast"})
for name, change, key in [
    ("lowercase", {"normalizer": {"type": "Lowercase"}}, "normalizer.type"),
    ("split", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]}},
     "pre_tokenizer.pretokenizers[0].type"),
    ("no_regex", {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}}, "pre_tokenizer.use_regex"),
    ("begin", {"post_processor": template(["<|endoftext|>", "A"], ["<|endoftext|>", "A", "B"], {"<|endoftext|>": 0})}, "post_processor"),
    ("decoder", {"decoder": {"type": "BPEDecoder", "suffix": "</w>"}}, "decoder.type"),
]:
    for settings in [backend, {"tokenizer_class": "GPT2Tokenizer"}]:
        kind = "fast" if settings is backend else "class"
        case(f"gpt2_{kind}_{name}", "gpt2", tokenizer=of("gpt2", lambda x: x.update(change)), tokenizer_config=settings, refused=key)
for option, value in [("dropout", 0.1), ("end_of_word_suffix", "</w>"), ("byte_fallback", True), ("ignore_merges", True)]:
    case(f"gpt2_{option}", "gpt2", tokenizer=of("gpt2", lambda x: x["model"].update({option: value})), tokenizer_config=backend, refused=f"model.{option}")
case("gpt2_llama_class", "gpt2", "gpt2", tokenizer_config={"tokenizer_class": "LlamaTokenizerFast"}, refused="tokenizer_class")

bert = {"tokenizer_class": "BertTokenizer"}
bert_fast = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
case("bert_json", "bert", tokenizer=wordpiece(), tokenizer_config=bert)
case("bert_json_cased", "bert", tokenizer=wordpiece(), tokenizer_config={**bert, "do_lower_case": False})
case("bert_fast", "bert", tokenizer=wordpiece(), tokenizer_config=bert_fast)
case("bert_fast_cased", "bert", tokenizer=wordpiece(normalizer={**wordpiece()["normalizer"], "lowercase": False}), tokenizer_config=bert_fast)
case("bert_fast_no_normalizer", "bert", tokenizer=wordpiece(normalizer=None), tokenizer_config=bert_fast, refused="normalizer")
case("bert_whitespace", "bert", tokenizer=wordpiece(pre_tokenizer={"type": "Whitespace"}), tokenizer_config=bert, refused="pre_tokenizer.type")
case("bert_short_words", "bert", tokenizer=wordpiece(model={**wordpiece()["model"], "max_input_chars_per_word": 3}), tokenizer_config=bert_fast, refused="model.max_input_chars_per_word")
case("bert_fast_types", "bert", tokenizer=wordpiece(post_processor=template(["[CLS]", "A", "[SEP]"], ["[CLS]", "A", "[SEP]", "B", "[SEP]"], {"[CLS]": 2, "[SEP]": 3})), tokenizer_config=bert_fast, refused="post_processor")
# What fills most of the file is that of ../tokenizers.
for entry in cases:
    for base in ["gpt2", "roberta"]:
        file = entry["files"].get("tokenizer.json")
        whole = json.loads((goldens / base / "tokenizer.json").read_text())
        if file and file["model"].get("vocab") == whole["model"]["vocab"]:
            entry["files"]["tokenizer.json"] = {
                "of": base, "changes": {k: v for k, v in file.items() if k != "model" and v != whole[k]},
                "model": {k: v for k, v in file["model"].items() if v != whole["model"].get(k)}}
    # As texts, since the order of members means something.
    for name, file in entry["files"].items():
        if "of" not in file:
            entry["files"][name] = json.dumps(file)
(here / "tokenizers.json").write_text("[\n" + ",\n".join(json.dumps(x) for x in cases) + "\n]\n")
