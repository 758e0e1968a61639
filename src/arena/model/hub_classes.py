"""Conversion of a trained classifier to one of transformers' own classes, which loads without arena.

transformers has one class for each architecture, each with its own pooling and head. Where arena's pooling and linear
head can be written in that class exactly, they are; where not, `reason_against` has the reason.
"""

import copy
import warnings
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from arena.core.errors import UsageError
from arena.model.adapter import wrapped as with_adapters
from arena.model.backbone import settings_of, skeleton, stored_rows
from arena.model.encoder import WORD_HEADS, SequenceClassifier, token_types
from arena.model.preflight import ENCODERS

SMALL = 1e-4
"""BERT's classes put a tanh before the head, and tanh(x / 10000) * 10000 = x up to 1e-8 x^3 / 3."""
TANH_POOLERS = {"bert": ("bert.pooler.dense", "classifier"), "roberta": ("classifier.dense", "classifier.out_proj")}
"""The layer before the tanh in those architectures, and the head after it."""
TANH_POOLERS["xlm-roberta"] = TANH_POOLERS["roberta"]


def reason_against(model: SequenceClassifier) -> str | None:
    """Return why no class of transformers gives this model's logits; None where one does."""
    kind, how = model.config.model_type, model.pool.how
    if model.lengths:
        return "model.length_features=true has no place in them; train with model.length_features=false"
    if model.words:
        tuned = model.head.weight.requires_grad
        return "a verbalizer whose words were tuned has no class; train with model.tune_words=false" if tuned else None
    wanted = {"modernbert": "first or mean"}.get(kind, "first" if kind in ENCODERS else "last")
    if how not in wanted.split(" or "):
        return f"their class for {kind} pools otherwise; train with model.pooling={wanted.split()[0]}"
    normed = kind == "modernbert"
    if normed != isinstance(model.norm, nn.LayerNorm):
        has, option = ("a norm", "true") if normed else ("no norm", "false")
        return f"their class for {kind} has {has} before the head; train with model.head_norm={option}"
    if kind not in ENCODERS and model.head.bias is not None:
        return f"their class for {kind} has a head without bias; train with model.head_bias=false"
    if kind in ENCODERS and kind not in (*TANH_POOLERS, "deberta-v2", "modernbert"):
        return f"arena does not know their class for {kind}"
    return None


def check_exportable(model: SequenceClassifier) -> None:
    """Raise a `UsageError` with the reason where no class of transformers gives this model's logits."""
    reason = reason_against(model)
    if reason is not None:
        raise UsageError(f"this model cannot become one of transformers' classes: {reason}")


def whole(model: SequenceClassifier, labels: list[str], pad: int) -> Any:
    """Convert a model with all its weights: adapters merged (in place), 4-bit weights in float32.

    `labels` are the names of the logits, `pad` is the tokenizer's id of padding.
    """
    check_exportable(model)
    state = merged_state(model)
    made = _empty(model, labels, pad)
    base = getattr(made, made.base_model_prefix)
    missing, unexpected = base.load_state_dict(state, strict=False)
    assert not unexpected, unexpected
    assert all("pooler" in name for name in missing), missing
    _write_head(made, model)
    return made.eval()


def adapted(model: SequenceClassifier, labels: list[str], pad: int) -> Any:
    """Convert a model to a `PeftModel` over one of transformers' classes, which saves adapters and head only.

    Raises:
        UsageError: See `check_exportable`; also for a model without adapters.
    """
    check_exportable(model)
    if model.adapter.method == "none":
        raise UsageError("merge=false needs a run with adapters; this one trained the whole backbone")
    if model.config.model_type in ENCODERS:
        raise UsageError(
            f"merge=false: the head of a {model.config.model_type} needs settings that no adapter folder holds; "
            "take merge=true"
        )
    from peft import LoraConfig

    made = _empty(model, labels, pad, on_meta=True)
    prefix, verbalizer = made.base_model_prefix, model.words
    known = model.backbone.peft_config["default"].to_dict()
    kept = ("r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "bias")
    plain = skeleton(None, settings_of(model.backbone.config))  # module names as they were before adapters
    config = LoraConfig(
        **{name: known[name] for name in kept},
        target_modules=[f"{prefix}.{name}" for name in model.adapter.chosen(plain)],
        modules_to_save=None if verbalizer else [_head_name(made)],
        task_type="CAUSAL_LM" if verbalizer else "SEQ_CLS",
    )
    wrapped: Any = with_adapters(made, config).to_empty(device="cpu")
    # Set afterwards: peft would put the folder in which the base lies on this machine.
    wrapped.peft_config["default"].base_model_name_or_path = model.name
    target = dict(wrapped.named_parameters())
    with torch.no_grad():
        for name, value in model.backbone.named_parameters():
            if ".lora_" in name:
                target[name.replace("base_model.model.", f"base_model.model.{prefix}.", 1)].copy_(value)
        if not verbalizer:
            _write_head(wrapped.base_model.model, model, saved="modules_to_save.default.")
    return wrapped


def merged_state(model: SequenceClassifier) -> dict[str, Tensor]:
    """Add the adapters' updates to the backbone's weights, float32, under the names of the bare backbone."""
    if model.adapter.method == "none":
        return {name: value.float() for name, value in model.backbone.state_dict().items()}
    if model.adapter.method == "qlora":
        return _dequantized(model.backbone)
    # The sum is rounded in the type of the frozen weights, so these become float32 first.
    return model.backbone.float().merge_and_unload().state_dict()


def _dequantized(backbone: Any) -> dict[str, Tensor]:
    """Merge 4-bit weights in float32: peft would quantise the sum again, which is another model."""
    from bitsandbytes.functional import dequantize_4bit

    state: dict[str, Tensor] = {}
    for name, module in backbone.base_model.model.named_modules():
        base = getattr(module, "base_layer", module)
        if ".lora_" in f".{name}" or name.endswith("base_layer"):
            continue
        if type(base).__name__ == "Linear4bit":
            weight = dequantize_4bit(base.weight.data, base.weight.quant_state).float()
            if base is not module:
                weight = weight + module.get_delta_weight("default").float()
            state[f"{name}.weight"] = weight
            if base.bias is not None:
                state[f"{name}.bias"] = base.bias.float()
        else:
            own = {**dict(base.named_parameters(recurse=False)), **dict(base.named_buffers(recurse=False))}
            persistent = {key for key in own if key not in base._non_persistent_buffers_set}
            state |= {f"{name}.{key}".lstrip("."): own[key].detach().float() for key in persistent}
    return state


def _empty(model: SequenceClassifier, labels: list[str], pad: int, on_meta: bool = False) -> Any:
    """Build the class of transformers with random weights, or with none at all."""
    config = copy.deepcopy(model.config)
    config.dtype = torch.float32
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    verbalizer = model.words
    names = ["score"] if model.output.formulation == "score" else labels
    if not verbalizer:
        config.num_labels = len(names)
        config.id2label, config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
        config.problem_type = "regression" if len(names) == 1 else "single_label_classification"
        if config.model_type not in ENCODERS:
            config.pad_token_id = pad  # finds the last token; RoBERTa would number its positions by it instead
    if config.model_type == "deberta-v2":
        config.pooler_hidden_act, config.pooler_hidden_size = "linear", config.hidden_size
    if config.model_type == "modernbert":
        config.classifier_activation, config.classifier_bias = "linear", False
        config.classifier_pooling = "mean" if model.pool.how == "mean" else "cls"
    with torch.device("meta") if on_meta else nullcontext():
        return _family(verbalizer).from_config(config, dtype=torch.float32)


def _family(verbalizer: bool) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    return AutoModelForCausalLM if verbalizer else AutoModelForSequenceClassification


def _head_name(made: Any) -> str:
    return "score" if hasattr(made, "score") else "classifier"


def _write_head(made: Any, model: SequenceClassifier, saved: str = "") -> None:
    """Copy arena's head into the class's own, with an identity where the class has another layer before it.

    `saved` comes between the name of the head and its parameters where peft keeps a trainable copy.
    """
    if model.words:
        if not model.config.tie_word_embeddings:
            assert model.folder is not None, "random weights have no head of a language model"
            made.lm_head.weight.data.copy_(stored_rows(model.folder, WORD_HEADS))
        return
    kind, weight, bias = model.config.model_type, model.head.weight.detach(), model.head.bias
    parameters = dict(made.named_parameters())
    layers = {"deberta-v2": "pooler.dense", "modernbert": "head.dense"}
    before, name = TANH_POOLERS.get(kind, (layers.get(kind), _head_name(made)))
    scale = SMALL if kind in TANH_POOLERS else 1.0
    with torch.no_grad():
        if before is not None:
            parameters[f"{before}.weight"].copy_(scale * torch.eye(model.config.hidden_size))
            if f"{before}.bias" in parameters:
                parameters[f"{before}.bias"].zero_()
        if kind == "modernbert":
            parameters["head.norm.weight"].copy_(model.norm.weight)  # pyright: ignore
        parameters[f"{name}.{saved}weight"].copy_(weight / scale)
        if f"{name}.{saved}bias" in parameters:
            parameters[f"{name}.{saved}bias"].copy_(torch.zeros(len(weight)) if bias is None else bias)


def load_again(folder: Any, model: SequenceClassifier, merge: bool, pad: int, batch: Any) -> Tensor:
    """Compute the outputs of `SequenceClassifier.read` from the written folder, by transformers alone."""
    verbalizer, family = model.words, _family(model.words)
    options: dict[str, Any] = {"dtype": torch.float32, "trust_remote_code": False, "use_safetensors": True}
    if merge:
        made = family.from_pretrained(str(folder), **options)
    else:
        from peft import PeftModel

        extra = {} if verbalizer else {"num_labels": model.output.outputs, "pad_token_id": pad}
        made = family.from_pretrained(str(model.folder), **options, **extra)
        with warnings.catch_warnings():
            # The folder names the model of the hub; here it is read from where it lies.
            warnings.filterwarnings("ignore", message=".*base_model_name_or_path.*")
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
            made = PeftModel.from_pretrained(made, str(folder))
    with torch.inference_mode():
        given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        types = token_types(batch.input_ids, model.separator)
        logits = made.eval()(**given, **({} if types is None else {"token_type_ids": types})).logits
    if not verbalizer:
        return logits
    last = batch.attention_mask.sum(1) - 1
    return logits[torch.arange(len(last)), last][:, model.word_ids]
