#!/usr/bin/env python3
"""Writes tests/golden/nn/*.safetensors: layers and small models of room nn, computed by PyTorch.

Everything is computed in f64. Parameters and inputs are drawn so that they are exact in f32 and are
stored so; outputs, losses and gradients are stored in f64. Written with PyTorch 1.13 (Debian 12):

    /usr/bin/python3 tests/golden/write_nn_golden.py

A case is a group of tensors `<case>/...`: `options` (numbers, see each function), `x` (or `x0`,
`x1`), `param/<name>`, `y`, `gy` (what backward starts from), `gx`, `grad/<name>`, `buffer/<name>`.
"""
import json
import math
import os
import struct

import torch
import torch.nn.functional as F

from golden_manifest import write_manifest

# Raised with every change of what is written.
VERSION = 1

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "nn")
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

NAMES = {torch.float64: "F64", torch.float32: "F32", torch.int64: "I64"}


def write(file_name, tensors):
    """safetensors: widest dtype first, then by name, without holes."""
    order = sorted(tensors, key=lambda n: (-tensors[n].element_size(), n))
    header, at, blobs = {}, 0, []
    for name in order:
        t = tensors[name].detach().contiguous()
        blob = t.numpy().tobytes()
        header[name] = {"dtype": NAMES[t.dtype], "shape": list(t.shape),
                        "data_offsets": [at, at + len(blob)]}
        at += len(blob)
        blobs.append(blob)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(os.path.join(OUT, file_name), "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(blobs))
    print(file_name, 8 + len(head) + at, "bytes")


class Draw:
    """Random numbers that are exact in f32."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape, scale=1.0):
        t = torch.randn(*shape, generator=self.generator) * scale
        return t.float().double()

    def below(self, n, *shape):
        return torch.randint(0, n, shape, generator=self.generator)

    def pick(self, *values):
        return values[int(self.below(len(values), 1))]


class Net:
    """Parameters by name, drawn when first asked for."""

    def __init__(self, draw):
        self.draw, self.values, self.buffers = draw, {}, {}

    def get(self, name, *shape, scale=None, mean=0.0):
        if name not in self.values:
            if scale is None:
                scale = 1 / math.sqrt(max(1, math.prod(shape[1:])))
            value = (self.draw.normal(*shape, scale=scale) + mean).float().double()
            self.values[name] = value.requires_grad_()
        return self.values[name]

    def affine(self, name, n):
        return (self.get(name + ".weight", n, scale=0.3, mean=1.0),
                self.get(name + ".bias", n, scale=0.3))

    def linear(self, name, x, out, bias=True):
        w = self.get(name + ".weight", out, x.shape[-1])
        return F.linear(x, w, self.get(name + ".bias", out, scale=0.3) if bias else None)

    def conv(self, name, x, out, kernel, stride=1, padding=0, dilation=1, groups=1, bias=False):
        w = self.get(name + ".weight", out, x.shape[1] // groups, kernel, kernel)
        b = self.get(name + ".bias", out, scale=0.3) if bias else None
        return F.conv2d(x, w, b, stride, padding, dilation, groups)

    def layer_norm(self, name, x, eps=1e-6, affine=True):
        w, b = self.affine(name, x.shape[-1]) if affine else (None, None)
        return F.layer_norm(x, x.shape[-1:], w, b, eps)

    def batch_norm(self, name, x, training=True):
        w, b = self.affine(name, x.shape[1])
        n = x.shape[1]
        mean = (torch.arange(n) % 3 * 0.25).clone()
        var = (1 + torch.arange(n) % 4 * 0.125).clone()
        y = F.batch_norm(x, mean, var, w, b, training, 0.1, 1e-5)
        self.buffers[name + ".running_mean"], self.buffers[name + ".running_var"] = mean, var
        return y


def attend(q, k, v, heads, causal=False):
    b, t, c = q.shape
    s = k.shape[1]
    q = q.reshape(b, t, heads, c // heads).transpose(1, 2)
    k = k.reshape(b, s, heads, c // heads).transpose(1, 2)
    v = v.reshape(b, s, heads, c // heads).transpose(1, 2)
    scores = q @ k.transpose(-1, -2) / math.sqrt(c // heads)
    if causal:
        scores = scores.masked_fill(torch.ones(t, s).triu(1).bool(), -math.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c)


def self_attention(net, prefix, x, heads, causal=False):
    q, k, v = net.linear(prefix + "qkv", x, 3 * x.shape[-1]).chunk(3, -1)
    return net.linear(prefix + "proj", attend(q, k, v, heads, causal), x.shape[-1])


def cross_attention(net, prefix, x, context, heads):
    q = net.linear(prefix + "q", x, x.shape[-1])
    k, v = net.linear(prefix + "kv", context, 2 * x.shape[-1]).chunk(2, -1)
    return net.linear(prefix + "proj", attend(q, k, v, heads), x.shape[-1])


def mlp(net, prefix, x, hidden):
    return net.linear(prefix + "fc2", F.gelu(net.linear(prefix + "fc1", x, hidden)), x.shape[-1])


def patch_embed(net, prefix, x, patch, dim):
    return net.conv(prefix + "proj", x, dim, patch, stride=patch, bias=True).flatten(2).transpose(1, 2)


def block(net, prefix, x, heads, hidden, affine=True):
    x = x + self_attention(net, prefix + "attn.", net.layer_norm(prefix + "norm1", x, affine=affine), heads)
    return x + mlp(net, prefix + "mlp.", net.layer_norm(prefix + "norm2", x, affine=affine), hidden)


def record(tensors, case, net, options, inputs, run):
    """Runs the case and stores it."""
    inputs = [i.clone().requires_grad_() if i.is_floating_point() else i for i in inputs]
    y = run(*inputs)
    gy = net.draw.normal(*y.shape)
    (y * gy).sum().backward()
    put = lambda name, t: tensors.__setitem__(case + "/" + name, t)
    put("options", torch.tensor([float(o) for o in options]))
    for i, x in enumerate(inputs):
        suffix = "" if len(inputs) == 1 else str(i)
        put("x" + suffix, x.detach().float() if x.is_floating_point() else x)
        if x.is_floating_point():
            put("gx" + suffix, x.grad)
    put("y", y)
    put("gy", gy.float())
    for name, p in net.values.items():
        put("param/" + name, p.detach().float())
        put("grad/" + name, p.grad)
    for name, b in net.buffers.items():
        put("buffer/" + name, b)


CASES = 20


def layers():
    files = {}

    def case(kind, i, options, inputs, run, seed):
        file = files.setdefault(kind, {})
        net = Net(Draw(seed + 5000))
        record(file, "%s.%02d" % (kind, i), net, options, inputs, lambda *x: run(net, *x))

    for i in range(CASES):
        d = Draw(1000 + i)
        b, t = 1 + i % 3, d.pick(1, 2, 3, 5)
        heads = d.pick(1, 2, 3)
        dim = heads * d.pick(2, 4, 5)
        n_in, n_out, bias = d.pick(1, 3, 8), d.pick(1, 4, 7), i % 4 != 3
        case("linear", i, [n_in, n_out, bias], [d.normal(b, t, n_in)],
             lambda net, x: net.linear("l", x, n_out, bias), 1000 + i)

        groups = d.pick(1, 1, 2)
        ci, co, k = groups * d.pick(1, 2, 3), groups * d.pick(1, 2, 4), d.pick(1, 2, 3)
        stride, padding, dilation = d.pick(1, 2), d.pick(0, 1), d.pick(1, 1, 2)
        h, w = d.pick(5, 6, 7), d.pick(5, 6)
        case("conv2d", i, [ci, co, k, stride, padding, dilation, groups, bias], [d.normal(b, ci, h, w)],
             lambda net, x: net.conv("l", x, co, k, stride, padding, dilation, groups, bias), 1100 + i)

        affine, eps = i % 3 != 2, d.pick(1e-6, 1e-5)
        case("layer_norm", i, [dim, eps, affine], [d.normal(b, t, dim)],
             lambda net, x: net.layer_norm("l", x, eps, affine), 1200 + i)

        channels, training = d.pick(1, 3, 5), i % 3 != 2
        case("batch_norm", i, [channels, training], [d.normal(1 + b, channels, d.pick(1, 3), d.pick(2, 4))],
             lambda net, x: net.batch_norm("l", x, training), 1300 + i)

        rows, width = d.pick(3, 9), d.pick(1, 4)
        case("embedding", i, [rows, width], [d.below(rows, b, t)],
             lambda net, x: F.embedding(x, net.get("l.weight", rows, width)), 1400 + i)

        causal = i % 4 == 1
        case("self_attention", i, [dim, heads, causal], [d.normal(b, t, dim)],
             lambda net, x: self_attention(net, "l.", x, heads, causal), 1500 + i)
        s = d.pick(1, 4, 6)
        case("cross_attention", i, [dim, heads], [d.normal(b, t, dim), d.normal(b, s, dim)],
             lambda net, x, c: cross_attention(net, "l.", x, c, heads), 1600 + i)

        hidden = d.pick(2, 8, 12)
        case("mlp", i, [dim, hidden], [d.normal(b, t, dim)],
             lambda net, x: mlp(net, "l.", x, hidden), 1700 + i)

        patch, pc, gh, gw = d.pick(1, 2, 3), d.pick(1, 3), d.pick(1, 2), d.pick(1, 3)
        case("patch_embed", i, [patch, pc, dim], [d.normal(b, pc, gh * patch, gw * patch)],
             lambda net, x: patch_embed(net, "l.", x, patch, dim), 1800 + i)

        case("block", i, [dim, heads, hidden, affine], [d.normal(b, t, dim)],
             lambda net, x: block(net, "l.", x, heads, hidden, affine), 1900 + i)
    for kind, tensors in files.items():
        write("layer_%s.safetensors" % kind, tensors)


def vit_trunk(net, x, patch, dim, depth, heads, token):
    x = patch_embed(net, "patch_embed.", x, patch, dim)
    if token:
        x = torch.cat([net.get("cls_token", 1, 1, dim, scale=0.5).expand(x.shape[0], 1, dim), x], 1)
    x = x + net.get("pos_embed", 1, x.shape[1], dim, scale=0.5)
    for i in range(depth):
        x = block(net, "blocks.%d." % i, x, heads, 4 * dim)
    return net.layer_norm("norm", x)


def vit_image_to_image(net, x, patch, dim, depth, heads, out):
    b, _, h, w = x.shape
    x = net.linear("head", vit_trunk(net, x, patch, dim, depth, heads, False), patch * patch * out)
    x = x.reshape(b, h // patch, w // patch, patch, patch, out)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(b, out, h, w)


def vit_classifier(net, x, patch, dim, depth, heads, classes):
    return net.linear("head", vit_trunk(net, x, patch, dim, depth, heads, True)[:, 0], classes)


def blur(x):
    k = torch.tensor([1.0, 2.0, 1.0])
    k = (k[:, None] * k[None, :] / 16).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, k, padding=1, groups=x.shape[1])


def resnet(net, x, width, blocks, cifar, use_blur, classes):
    """Blur goes ahead of every convolution with a stride and at least 16 input channels."""

    def strided(name, x, out, kernel, stride, padding):
        if use_blur and stride > 1 and x.shape[1] >= 16:
            x = blur(x)
        return net.conv(name, x, out, kernel, stride, padding)

    if cifar:
        x = F.relu(net.batch_norm("bn1", net.conv("conv1", x, width, 3, 1, 1)))
    else:
        x = F.relu(net.batch_norm("bn1", net.conv("conv1", x, width, 7, 2, 3)))
        x = F.max_pool2d(x, 3, 2, 1)
    for stage, count in enumerate(blocks):
        out = width << stage
        for i in range(count):
            p = "layer%d.%d." % (stage + 1, i)
            stride = 2 if stage > 0 and i == 0 else 1
            y = F.relu(net.batch_norm(p + "bn1", strided(p + "conv1", x, out, 3, stride, 1)))
            y = net.batch_norm(p + "bn2", net.conv(p + "conv2", y, out, 3, 1, 1))
            if stride != 1 or x.shape[1] != out:
                x = net.batch_norm(p + "downsample.1", strided(p + "downsample.0", x, out, 1, stride, 0))
            x = F.relu(x + y)
    return net.linear("fc", x.mean((2, 3)), classes)


def plain_mlp(net, x, hidden, classes):
    x = x.flatten(1)
    for i, n in enumerate(hidden):
        x = F.relu(net.linear("layers.%d" % i, x, n))
    return net.linear("head", x, classes)


def model(name, seed, x, run, target, loss):
    net = Net(Draw(seed))
    x = x.clone().requires_grad_()
    y = run(net, x)
    value = loss(y, target)
    value.backward()
    tensors = {"x": x.detach().float(), "y": y, "loss": value, "gx": x.grad,
               "target": target.float() if target.is_floating_point() else target}
    for key, p in net.values.items():
        tensors["param/" + key] = p.detach().float()
        tensors["grad/" + key] = p.grad
    for key, b in net.buffers.items():
        tensors["buffer/" + key] = b
    write("model_%s.safetensors" % name, tensors)


def models():
    d = Draw(1)
    smooth = lambda y, t: F.cross_entropy(y, t, label_smoothing=0.1)
    model("vit_image_to_image", 11, d.normal(2, 3, 8, 12),
          lambda net, x: vit_image_to_image(net, x, 4, 16, 2, 4, 2), d.normal(2, 2, 8, 12), F.mse_loss)
    model("vit_classifier", 12, d.normal(3, 1, 12, 12),
          lambda net, x: vit_classifier(net, x, 4, 12, 2, 3, 5), d.below(5, 3), F.cross_entropy)
    model("resnet_imagenet", 13, d.normal(2, 3, 40, 40),
          lambda net, x: resnet(net, x, 8, [1, 1, 1, 1], False, True, 5), d.below(5, 2), smooth)
    model("resnet_cifar", 14, d.normal(3, 3, 16, 16),
          lambda net, x: resnet(net, x, 4, [2, 1, 1, 1], True, False, 7), d.below(7, 3), smooth)
    model("mlp", 15, d.normal(4, 1, 3, 5),
          lambda net, x: plain_mlp(net, x, [9, 6], 4), d.below(4, 4), smooth)


def losses():
    tensors = {}
    for i in range(CASES):
        d = Draw(3000 + i)
        n, c = 1 + i % 5, d.pick(2, 3, 7)
        smoothing = d.pick(0.0, 0.1, 0.3)
        logits = d.normal(n, c, scale=3).requires_grad_()
        labels = d.below(c, n)
        if n > 1 and i % 2:
            labels[int(d.below(n, 1))] = -100
        value = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        value.backward()
        p = "cross_entropy.%02d/" % i
        tensors.update({p + "options": torch.tensor([smoothing]), p + "x": logits.detach().float(),
                        p + "target": labels, p + "loss": value, p + "gx": logits.grad})
        for name, function in (("mse", F.mse_loss), ("l1", F.l1_loss)):
            x = d.normal(n, 2, c).requires_grad_()
            target = d.normal(n, 2, c)
            value = function(x, target)
            value.backward()
            p = "%s.%02d/" % (name, i)
            tensors.update({p + "x": x.detach().float(), p + "target": target.float(),
                            p + "loss": value, p + "gx": x.grad})
    write("losses.safetensors", tensors)


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    layers()
    losses()
    models()
    write_manifest(OUT, __file__, VERSION)
