"""What torch's variable-length flash attention computes and keeps, on a CPU, where it has no kernel."""

import torch
from torch.nn.functional import scaled_dot_product_attention


def spans(query_ends, key_ends):
    ends = zip(query_ends[:-1], query_ends[1:], key_ends[:-1], key_ends[1:], strict=True)
    return [(slice(int(a), int(b)), slice(int(c), int(d))) for a, b, c, d in ends]


def span(q, k, v, scale, back):
    """[T, A, D]: queries and keys are aligned at their ends; `back` keys before its own are seen, -1: all."""
    distance = torch.arange(len(q))[:, None] + len(k) - len(q) - torch.arange(len(k))
    seen = (distance >= 0) & ((distance <= back) if back >= 0 else True)
    q, k, v = (tensor.transpose(0, 1)[None] for tensor in (q, k, v))
    return scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale, enable_gqa=True)[0].transpose(0, 1)


class Reference(torch.autograd.Function):
    """Keeps what flash attention keeps: its inputs, its output and a log-sum-exp for each query and head."""

    @staticmethod
    def forward(ctx, q, k, v, query_ends, key_ends, scale, back):
        parts = [span(q[a], k[b], v[b], scale, back) for a, b in spans(query_ends, key_ends)]
        out = torch.cat(parts)
        ctx.save_for_backward(q, k, v, out, torch.zeros(q.shape[:2]))
        ctx.rest = query_ends, key_ends, scale, back
        return out

    @staticmethod
    def backward(ctx, grad):
        query_ends, key_ends, scale, back = ctx.rest
        with torch.enable_grad():
            q, k, v = (tensor.detach().requires_grad_() for tensor in ctx.saved_tensors[:3])
            out = torch.cat([span(q[a], k[b], v[b], scale, back) for a, b in spans(query_ends, key_ends)])
            return *torch.autograd.grad(out, (q, k, v), grad), None, None, None, None


def varlen_attn(q, k, v, query_ends, key_ends, most_queries, most_keys, *, scale, window_size, enable_gqa):
    assert most_queries == query_ends.diff().max() and most_keys == key_ends.diff().max()
    assert window_size[1] == 0 and enable_gqa == (q.shape[1] != k.shape[1])
    assert query_ends.dtype == key_ends.dtype == torch.int32
    return Reference.apply(q, k, v, query_ends, key_ends, scale, window_size[0])


def pretend_flash(monkeypatch):
    """Sends packed attention the way that it takes on a GPU."""
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen_attn)
    monkeypatch.setattr("train.attention._has_flash", lambda query, value: True)
