"""Text models of Transformers: BERT-like ones, sentence encoders, CLIP's tower and others."""

from torch import Tensor, nn
from torch.nn import functional as F

from components.huggingface.description import Description
from components.layers.features import Features, length_mask, masked_mean


class HuggingFaceTextEncoder(nn.Module):
    """A model of Transformers over the ids of its own tokenizer, special tokens included."""

    at_once = 64  # assets that are encoded together

    def __init__(self, description: Description):
        super().__init__()
        self.model = description.build("text")
        self.width = self.model.config.hidden_size
        self.pooling, self.normalised = description.pooling, description.normalised

    def forward(self, tokens: Tensor, lengths: Tensor) -> Features:
        """Token ids [N, T] and lengths [N] → features with T tokens."""
        mask = length_mask(lengths, tokens.shape[1])  # [N, T]
        given = self.model(input_ids=tokens, attention_mask=mask.long())
        x = given.last_hidden_state  # [N, T, D]
        pooled = self._pool(x, mask, given.get("pooler_output"))
        return Features(x, mask, F.normalize(pooled, dim=-1) if self.normalised else pooled)

    def _pool(self, x: Tensor, mask: Tensor, own: Tensor | None) -> Tensor:
        match self.pooling:
            case "own" if own is not None:
                return own
            case "first":
                return x[:, 0]
            case "max":
                return x.masked_fill(~mask[..., None], float("-inf")).amax(1)
        return masked_mean(x, mask)
