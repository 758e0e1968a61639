"""An interrupted run of Lightning ends with the same bits as an undisturbed one: order, position, random state."""

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from support import built

from arena.callback.checkpoint import RandomState
from arena.data.module.pairwise import PairData
from arena.data.source.toy import ToyReader
from arena.data.text.tokenizer import ByteTokenizer

# Lightning 2.6.6 uses a torch interface that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated")


def make_data(**options):
    """240 rows, of which 168 train: 11 batches of 16 an epoch."""
    options = {"batch_size": 16, "window": 4, **options}
    return built(PairData, ToyReader(rows=240), ByteTokenizer(), ["model_a", "model_b", "tie"], **options)


class Toy(LightningModule):
    """Mean of token embeddings, dropout, one linear layer; notes the rows it was given."""

    def __init__(self, ask_for_steps=False):
        super().__init__()
        self.embedding = torch.nn.Embedding(260, 8)
        self.head = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(8, 3))
        self.ask_for_steps = ask_for_steps
        self.seen = []

    def forward(self, batch):
        mask = batch.attention_mask.unsqueeze(-1)
        return self.head((self.embedding(batch.input_ids) * mask).sum(1) / mask.sum(1))

    def training_step(self, batch, index):
        self.seen.append(batch.row.tolist())
        return torch.nn.functional.cross_entropy(self(batch), batch.target)

    def validation_step(self, batch, index):
        self(batch)

    test_step = validation_step

    def configure_optimizers(self):
        if self.ask_for_steps:
            _ = self.trainer.estimated_stepping_batches
        return torch.optim.AdamW(self.parameters(), lr=0.05)


class SaveAt(Callback):
    """Saves where a checkpoint callback does: at the end of a batch, inside the epoch."""

    def __init__(self, path, step):
        self.path = path
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def fit(folder, steps, checkpoint=None, data=None, ask_for_steps=False, **options):
    """Train up to `steps`: model, checkpoint of the last step, trainer."""
    seed_everything(3 if checkpoint is None else 4, verbose=False)  # a resumed run must not depend on its own seed
    model = Toy(ask_for_steps)
    path = folder / f"{steps}.ckpt"
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    quiet["enable_checkpointing"] = False
    options = {"max_steps": steps, "accelerator": "cpu", **quiet, **options}
    trainer = Trainer(callbacks=[RandomState(), SaveAt(path, steps)], **options)
    trainer.fit(model, datamodule=data or make_data(), ckpt_path=checkpoint, weights_only=True)
    return model, path, trainer


def same_bits(left, right):
    pairs = zip(left.state_dict().items(), right.state_dict().items(), strict=True)
    return all(name == other and torch.equal(tensor, copy) for (name, tensor), (other, copy) in pairs)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """30 steps with dropout and shuffling: 11 batches an epoch, so epochs end at 11 and 22."""
    model, _, trainer = fit(tmp_path_factory.mktemp("whole"), 30, val_check_interval=4)
    assert trainer.num_training_batches == 11
    return model


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("stops", [(7, 15, 22), (1, 2, 3), (11,), (10, 21)])
def test_interrupted_runs_end_with_the_same_bits(tmp_path, undisturbed, stops, num_workers):
    seen, checkpoint = [], None
    for steps in [*stops, 30]:
        data = make_data(num_workers=num_workers)
        model, checkpoint, _ = fit(tmp_path, steps, checkpoint, data, val_check_interval=4)
        seen += model.seen
    assert seen == undisturbed.seen
    assert same_bits(model, undisturbed)


def test_without_the_position_the_bits_differ(tmp_path, undisturbed):
    """The negative control: the same, but with the position forgotten."""
    _, checkpoint, _ = fit(tmp_path, 7, val_check_interval=4)
    content = torch.load(checkpoint, weights_only=True)
    assert content["PairData"] == {"epoch": 0, "position": 7}
    content["PairData"] = {"epoch": 0, "position": 0}
    content["loops"]["fit_loop"]["state_dict"].pop("combined_loader", None)
    torch.save(content, checkpoint)
    model, _, _ = fit(tmp_path, 30, checkpoint, val_check_interval=4)
    assert model.seen[0] == undisturbed.seen[0]
    assert not same_bits(model, undisturbed)


def test_asking_for_the_number_of_steps_first(tmp_path, undisturbed):
    """Lightning itself then forgets to restore a loader's state (Lightning issue 20550)."""
    _, checkpoint, _ = fit(tmp_path, 15, ask_for_steps=True, val_check_interval=4)
    model, _, _ = fit(tmp_path, 30, checkpoint, ask_for_steps=True, val_check_interval=4)
    assert model.seen == undisturbed.seen[15:]
    assert same_bits(model, undisturbed)


def test_accumulated_gradients(tmp_path):
    """10 optimiser steps of 3 batches each, cut after the fourth."""
    whole, _, _ = fit(tmp_path / "whole", 10, accumulate_grad_batches=3)
    _, checkpoint, _ = fit(tmp_path / "part", 4, accumulate_grad_batches=3)
    rest, _, _ = fit(tmp_path / "part", 10, checkpoint, accumulate_grad_batches=3)
    assert rest.seen == whole.seen[-len(rest.seen) :]
    assert same_bits(whole, rest)


def test_a_module_fitted_twice_starts_anew(tmp_path):
    data = make_data()
    models = [fit(tmp_path / name, 5, data=data)[0] for name in ("one", "two")]
    assert models[0].seen == models[1].seen
    assert same_bits(*models)


def test_short_epochs_go_on_through_the_data(tmp_path):
    """limit_train_batches=4: eight epochs of four batches serve 32 batches of the same order, none twice in a row."""
    model, _, trainer = fit(tmp_path, 32, max_epochs=8, limit_train_batches=4)
    assert trainer.current_epoch == 8
    data = make_data()
    data.setup()
    plain = data.train_dataloader()
    assert model.seen == [batch.row.tolist() for _ in range(3) for batch in plain][:32]


@pytest.mark.parametrize("overfit_batches", [4, 0.4])
def test_overfitting_on_purpose(tmp_path, overfit_batches):
    """4 batches, or 40% of 11, which is 4 too; Lightning's own switch only stops the shuffling of torch's loaders."""
    data = make_data(eval_batch_size=4)
    model, _, _ = fit(tmp_path, 12, data=data, max_epochs=3, overfit_batches=overfit_batches)
    assert model.seen == model.seen[:4] * 3
    assert len({tuple(rows) for rows in model.seen}) == 4


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")
def test_a_run_without_validation_and_test_rows(tmp_path):
    data = make_data(val_share=0, test_share=0)
    model, _, trainer = fit(tmp_path, 3, data=data)
    assert len(model.seen) == 3
    assert trainer.num_val_batches in ([], [0])
