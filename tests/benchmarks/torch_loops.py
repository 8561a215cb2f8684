"""The loops that people commonly write in PyTorch, plainly: dense input, dense log-softmax.

Run by `bench_vae.py` with an interpreter that has PyTorch; nothing of the library is imported. Each
line read from standard input asks for one epoch; the answer is its seconds. ``scores PATH`` writes
the scores of the validation users instead. With ``bfloat16`` as last argument it multiplies in
that precision (`torch.autocast`).
"""

import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import nn

BATCH = 500


class MultVAE(nn.Module):
    """[n-600-200-600-n] as in the paper's code."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(n_items, 600), nn.Linear(600, 400)
        self.back, self.out = nn.Linear(200, 600), nn.Linear(600, n_items)

    def forward(self, x):
        hidden = F.dropout(F.normalize(x), 0.5, self.training)
        mean, log_variance = self.head(torch.tanh(self.first(hidden))).split(200, dim=1)
        z = mean
        if self.training:
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.out(torch.tanh(self.back(z))), mean, log_variance


class MultVAELoop:
    """Adam at 1e-3; the divergence annealed to 0.2 over 85 % of 150 epochs."""

    def __init__(self, train, n_items):
        torch.manual_seed(0)
        self.train, self.net, self.updates = train, MultVAE(n_items), 0
        self.n_anneal = 0.85 * 150 * -(-train.shape[0] // BATCH)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-3)

    def epoch(self):
        self.net.train()
        order = np.random.permutation(self.train.shape[0])  # noqa: NPY002
        for start in range(0, len(order), BATCH):
            x = torch.from_numpy(self.train[order[start : start + BATCH]].toarray())
            logits, mean, log_variance = self.net(x)
            nll = -(F.log_softmax(logits, dim=1) * x).sum(dim=1).mean()
            kl = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum(dim=1).mean()
            loss = nll + 0.2 * min(1.0, self.updates / self.n_anneal) * kl
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
            self.updates += 1

    def score(self, x):
        self.net.eval()
        with torch.no_grad():
            return self.net(torch.from_numpy(x.toarray()))[0].numpy()


class RecEncoder(nn.Module):
    """Five densely connected swish layers with layer normalization."""

    def __init__(self, n_items, hidden=600, latent=200):
        super().__init__()
        self.fc = nn.ModuleList(
            [nn.Linear(n_items, hidden)] + [nn.Linear(hidden, hidden) for _ in range(4)]
        )
        self.ln = nn.ModuleList([nn.LayerNorm(hidden, eps=0.1) for _ in range(5)])
        self.mean, self.log_variance = nn.Linear(hidden, latent), nn.Linear(hidden, latent)

    def forward(self, x, rate):
        x = x / x.pow(2).sum(dim=-1).sqrt()[:, None]
        hidden = F.dropout(x, p=rate, training=self.training)
        last = self.ln[0](F.silu(self.fc[0](hidden)))
        total = last
        for fc, ln in zip(self.fc[1:], self.ln[1:], strict=True):
            last = ln(F.silu(fc(last) + total))
            total = total + last
        return self.mean(last), self.log_variance(last)


def log_normal(z, mean, log_variance):
    scaled = (z - mean).pow(2) / log_variance.exp()
    return -0.5 * (log_variance + np.log(2 * np.pi) + scaled)


class RecVAELoop:
    """Three encoder passes and one decoder pass an epoch, the whole network differentiated."""

    def __init__(self, train, n_items, gamma=0.0035):
        torch.manual_seed(0)
        self.train, self.gamma = train, gamma
        self.encoder, self.old = RecEncoder(n_items), RecEncoder(n_items)
        self.old.requires_grad_(False)
        self.decoder = nn.Linear(200, n_items)
        self.adams = [
            torch.optim.Adam(part.parameters(), lr=5e-4) for part in (self.encoder, self.decoder)
        ]

    def _pass(self, adam, rate):
        order = np.random.permutation(self.train.shape[0])  # noqa: NPY002
        for start in range(0, len(order), BATCH):
            x = torch.from_numpy(self.train[order[start : start + BATCH]].toarray())
            for other in self.adams:
                other.zero_grad()
            mean, log_variance = self.encoder(x, rate)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            logits = self.decoder(z)
            nll = -(F.log_softmax(logits, dim=-1) * x).sum(dim=-1)
            kl = (log_normal(z, mean, log_variance) - self._prior(x, z)).sum(dim=-1)
            (nll + self.gamma * x.sum(dim=-1) * kl).mean().backward()
            adam.step()

    def _prior(self, x, z):
        old_mean, old_log_variance = self.old(x, 0)
        zero = torch.zeros(1, z.shape[1])
        parts = [
            log_normal(z, zero, zero) + np.log(0.15),
            log_normal(z, old_mean, old_log_variance) + np.log(0.75),
            log_normal(z, zero, zero + 10) + np.log(0.10),
        ]
        return torch.logsumexp(torch.stack(parts, dim=-1), dim=-1)

    def epoch(self):
        self.encoder.train()
        for _ in range(3):
            self._pass(self.adams[0], 0.5)
        self.old.load_state_dict(self.encoder.state_dict())
        self._pass(self.adams[1], 0)

    def score(self, x):
        self.encoder.eval()
        with torch.no_grad():
            return self.decoder(self.encoder(torch.from_numpy(x.toarray()), 0)[0]).numpy()


def main() -> None:
    name, path = sys.argv[1:3]
    torch.set_num_threads(2)
    parts = np.load(path)
    n_items = int(parts["n_items"])

    def matrix(part):
        indices, indptr = parts[f"{part}_indices"], parts[f"{part}_indptr"]
        ones = np.ones(len(indices), dtype=np.float32)
        return sparse.csr_matrix((ones, indices, indptr), shape=(len(indptr) - 1, n_items))

    loop = {"mult_vae": MultVAELoop, "rec_vae": RecVAELoop}[name](matrix("train"), n_items)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.startswith("scores"):
            np.save(line.split(maxsplit=1)[1].strip(), loop.score(matrix("fold_in")))
            print("done", flush=True)
            continue
        started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled="bfloat16" in sys.argv):
            loop.epoch()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
