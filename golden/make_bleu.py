"""Writes golden/bleu.json: BLEU of a few texts by sacrebleu 2.6.0 and NLTK 3.10.4.

    pip install sacrebleu==2.6.0 nltk==3.10.4
    python golden/make_bleu.py
"""

import json
import pathlib
import warnings

import nltk
import sacrebleu
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu
from sacrebleu.metrics import BLEU

warnings.filterwarnings("ignore")

PAIRS = [
    ["A silver van waits at the red light; two people cross.",
     ["A silver van is waiting at a red light while two people cross.", "The van stops: red light, 2 people crossing."]],
    ["The ego car slows from 8.3s-11.3s (about 20%), don't stop.. U.S. route 1,000.",
     ["From 8.3s to 11.3s the ego car slows by 20%.", "It doesn't stop on U.S. route 1,000, does it?"]],
    ["Rain. Rain. Rain. The the the the road is wet &amp; dark &lt;skipped&gt; <skipped>",
     ["Rain falls and the road is wet & dark.", "the road, the rain, the dark"]],
    ["红灯亮了，车辆停下。 “stop” … ×2", ["红灯亮着，车停下。“Stop”…×3", "车辆在红灯前停下。"]],
    ["line one-\nbroken and\nline two\u001cnext  ", ["line onebroken and line two next", "something else"]],
    ["Left.", ["Left turn.", "Turns left."]],
    ["", ["nothing was said", "no"]],
    ["zig zag", ["quite other words", "altogether"]],
    ["{a} [b] ^c_ `d` ~e| $5-door @home #1 €20 ½ +3=4 a/b \\x", ["{a} [b] c d e 5 - door home 1 €20", "a/b \\x +3=4"]],
    ["Straße İstanbul ΣΑΣ ΟΔΟΣ naïve", ["strasse istanbul σας οδος naïve", "Straße"]],
]


def sacrebleu_result(pairs, tok, lc, smooth, value=None, order=4):
    make = lambda eff: BLEU(tokenize=tok, lowercase=lc, smooth_method=smooth, smooth_value=value,
                            max_ngram_order=order, effective_order=eff)
    predictions = [p for p, _ in pairs]
    streams = [list(refs) for refs in zip(*(refs for _, refs in pairs))]
    metric = make(False)
    corpus = metric.corpus_score(predictions, streams)
    result = {"lib": "sacrebleu-" + sacrebleu.__version__, "tok": tok, "lc": lc, "smooth": smooth, "order": order,
              "corpus": corpus.score, "counts": corpus.counts, "totals": corpus.totals,
              "sentence_eff": [make(True).sentence_score(p, refs).score for p, refs in pairs]}
    if value is not None:
        result["value"] = value
    if order == 4:
        result["signature"] = str(metric.get_signature())
    return result


def nltk_result(pairs, method):
    smooth = lambda: getattr(SmoothingFunction(), method)
    references = [[r.split() for r in refs] for _, refs in pairs]
    predictions = [p.split() for p, _ in pairs]
    return {"lib": "nltk-" + nltk.__version__, "tok": "str.split", "smooth": method,
            "sentence": [float(sentence_bleu(r, p, smoothing_function=smooth())) for r, p in zip(references, predictions)],
            "corpus": float(corpus_bleu(references, predictions, smoothing_function=smooth()))}


def main():
    results = [sacrebleu_result(PAIRS, tok, lc, smooth)
               for tok in ("13a", "intl", "zh", "char", "none") for lc in (False, True)
               for smooth in ("exp", "floor", "add-k", "none")]
    results += [sacrebleu_result(PAIRS, "13a", False, "floor", 0.5), sacrebleu_result(PAIRS, "13a", False, "add-k", 2),
                sacrebleu_result(PAIRS, "13a", True, "exp", None, 2), sacrebleu_result(PAIRS, "13a", True, "exp", None, 6)]
    results += [nltk_result(PAIRS, f"method{i}") for i in (0, 1, 2, 3, 4, 5, 7)]
    path = pathlib.Path(__file__).with_name("bleu.json")
    path.write_text(json.dumps({"pairs": PAIRS, "results": results}, ensure_ascii=True, indent=0) + "\n")


main()
