"""The rating autoencoder as it is commonly written in PyTorch: dense rows, slices, masked error.

Run by `bench_autoencoder.py` with an interpreter that has PyTorch; nothing of the library is
imported. Each line read from standard input asks for one epoch; the answer is its seconds.
"""

import itertools
import sys
import time

import numpy as np
import torch
from torch import nn

BATCH, WIDTHS = 64, (252, 128, 64, 128, 252)


def main() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    parts = np.load(sys.argv[1])
    dense = np.zeros((len(parts["indptr"]) - 1, WIDTHS[0]), dtype=np.float32)
    rows = np.repeat(np.arange(len(dense)), np.diff(parts["indptr"]))
    dense[rows, parts["indices"]] = parts["data"] / 10
    x = torch.from_numpy(dense)
    mask = (x > 0).float()
    layers = []
    for n_in, n_out in itertools.pairwise(WIDTHS):
        layers += [nn.Linear(n_in, n_out), nn.Sigmoid()]
    net = nn.Sequential(*layers)
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        order = torch.randperm(len(x))
        for start in range(0, len(x), BATCH):
            batch = order[start : start + BATCH]
            shown, known = x[batch], mask[batch]
            loss = ((net(shown) - shown) ** 2 * known).sum() / known.sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
