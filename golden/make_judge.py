"""Writes golden/judge: a tiny judge with random weights, and the logits that transformers gives for some pairs.

    pip install torch==2.11.0 transformers==4.57.6 tokenizers
    python golden/make_judge.py                      # the committed folder
    python golden/make_judge.py OUT TOKENIZER_DIR    # one with the real DeBERTa-v3 tokenizer, not for committing

The folder holds the model as safetensors, `bin/` the same as pytorch_model.bin, `cases.json` the pairs with token ids
and logits of the published scorer's input, `mixed.bin` tensors of other types and layouts.
"""

import json
import pathlib
import shutil
import sys

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, PreTrainedTokenizerFast

PAIRS = [
    ("Are there any pedestrians crossing the road? If yes, how many?", "1", "Yes, there is one"),
    ("Are there any traffic lights present? If yes, what is their color?", "Yes, green.", "No."),
    ("What is the ego car doing?", "  Slowing down for the RED light ", "Slowing Down because the light is red\n"),
    ("What is ahead?", "A van", "a white van " * 90),
    ("Why?", "because [SEP] of rain", "rain [CLS] and fog"),
    ("", "", ""),
]


def tiny_tokenizer():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"],
                                      unk_token="[UNK]", show_progress=False)
    tokenizer.train_from_iterator([part for pair in PAIRS for part in pair] * 4, trainer)
    ids = {name: tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=list(ids.items()))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
                                   unk_token="[UNK]", mask_token="[MASK]")


def main(out, tokenizer_dir):
    torch.manual_seed(7)
    out.mkdir(parents=True, exist_ok=True)
    (out / "bin").mkdir(exist_ok=True)
    if tokenizer_dir:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_dir)
        shutil.copy(tokenizer_dir / "tokenizer.json", out / "tokenizer.json")
        vocab = 128100
    else:
        tokenizer = tiny_tokenizer()
        tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"))
        vocab = len(tokenizer)
    config = DebertaV2Config(
        vocab_size=vocab, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=512, relative_attention=True, position_buckets=64, norm_rel_ebd="layer_norm",
        share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
        layer_norm_eps=1e-7, num_labels=1, initializer_range=0.5)
    model = DebertaV2ForSequenceClassification(config).eval()
    model.save_pretrained(out)
    torch.save(model.state_dict(), out / "bin/pytorch_model.bin")
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(out / name, out / "bin" / name)
    cases = []
    for question, reference, prediction in PAIRS:
        text = f"[CLS]\nQuestion: {question}\nAnswer: {reference.lower().strip()}\nStudent: {prediction.lower().strip()}"
        ids = tokenizer(text, truncation=True, max_length=128)["input_ids"]
        with torch.no_grad():
            logit = model(input_ids=torch.tensor([ids])).logits[0, 0].item()
        cases.append({"question": question, "reference": reference, "prediction": prediction, "ids": ids, "logit": logit})
    (out / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
    base = torch.arange(24, dtype=torch.float32)
    torch.save({"f16": base.half(), "bf16": base.bfloat16().reshape(2, 3, 4), "transposed": base.reshape(4, 6).t(),
                "shared": base[6:12], "parameter": torch.nn.Parameter(base[:2].clone()), "scalar": torch.tensor(1.5),
                "i64": torch.arange(3)}, out / "mixed.bin")


arguments = [pathlib.Path(a) for a in sys.argv[1:]]
main(arguments[0] if arguments else pathlib.Path(__file__).with_name("judge"), arguments[1] if len(arguments) > 1 else None)
