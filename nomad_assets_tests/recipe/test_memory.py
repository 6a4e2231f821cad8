"""Weights that a mapped file holds."""

import sys

import pytest
import torch

from nomad_assets.recipe.memory import take_from_file
from nomad_assets.recipe.models.loading import load_model


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where weights lie is only told by Linux")
def test_weights_leave_their_file_once_and_stay_what_they_are(tiny_model):
    """The tiny model is stored in float32, so that in float32 its weights are the file's own pages."""
    model = load_model(tiny_model, torch.float32)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    assert take_from_file(model) == len(before) and take_from_file(model) == 0
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    if model.config.tie_word_embeddings:
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_converted_weights_are_in_memory_already(tiny_model):
    assert take_from_file(load_model(tiny_model, torch.bfloat16)) == 0
