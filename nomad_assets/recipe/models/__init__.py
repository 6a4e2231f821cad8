"""Base models, tokenizers, chat turns and the device they run on."""
