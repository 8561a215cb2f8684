"""The same networks by plain `keras.Model.fit`, with the best input pipeline we know for it.

Run by `bench_autoencoder.py` and `bench_vae.py`; nothing of the library is imported. Each line read
from standard input asks for one epoch; the answer is its seconds. Rows that fit are dense in memory
and cut in the graph; of wide catalogs each batch becomes dense in the pipeline.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from scipy import sparse

AUTOENCODER_BATCH, VAE_BATCH = 64, 500
# Cells that are held dense; 400 MB.
DENSE_CELLS = 100_000_000


def batches(rows, batch_size):
    """Shuffled batches of dense rows, prefetched."""
    n_rows, n_items = rows.shape
    if n_rows * n_items <= DENSE_CELLS:
        dense = tf.constant(rows.toarray())
        order = tf.data.Dataset.range(n_rows).shuffle(n_rows).batch(batch_size)
        return order.map(lambda at: tf.gather(dense, at)).prefetch(tf.data.AUTOTUNE)
    coo = rows.tocoo()
    where = np.column_stack([coo.row, coo.col]).astype(np.int64)
    stored = tf.sparse.reorder(tf.SparseTensor(where, coo.data, rows.shape))
    found = tf.data.Dataset.from_tensor_slices(stored).shuffle(n_rows).batch(batch_size)
    return found.map(tf.sparse.to_dense, num_parallel_calls=2).prefetch(tf.data.AUTOTUNE)


def autoencoder(rows):
    """Dense rows of shares, sigmoid layers, squared error on what is stored."""
    widths = [128, 64, 128, rows.shape[1]]
    network = keras.Sequential([keras.layers.Dense(n, activation="sigmoid") for n in widths])

    def masked(true, predicted):
        known = ops.cast(true > 0, "float32")
        return ops.sum(ops.square(predicted - true) * known) / ops.sum(known)

    network.compile(optimizer=keras.optimizers.Adam(2e-3), loss=masked)
    data = batches(rows / np.float32(10), AUTOENCODER_BATCH).map(lambda x: (x, x))
    return network, data


class MultVAE(keras.Model):
    """[n-600-200-600-n], the divergence annealed to 0.2."""

    def __init__(self, n_items):
        super().__init__()
        self.first, self.head = keras.layers.Dense(600, "tanh"), keras.layers.Dense(400)
        self.back, self.out = keras.layers.Dense(600, "tanh"), keras.layers.Dense(n_items)
        self.drop, self.noise = keras.layers.Dropout(0.5), keras.random.SeedGenerator(0)
        self.updates = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        both = self.head(self.first(self.drop(ops.normalize(x), training=training)))
        mean, log_variance = both[:, :200], both[:, 200:]
        drawn = keras.random.normal(ops.shape(mean), seed=self.noise)
        code = mean + ops.exp(0.5 * log_variance) * drawn
        kl = 0.5 * ops.sum(ops.exp(log_variance) + ops.square(mean) - 1 - log_variance, axis=1)
        self.updates.assign_add(1.0)
        self.add_loss(ops.minimum(0.2, self.updates / 6375.0) * ops.mean(kl))
        return self.out(self.back(code))


def mult_vae(rows):
    network = MultVAE(rows.shape[1])

    def nll(true, logits):
        return -ops.sum(ops.log_softmax(logits, axis=1) * true, axis=1)

    network.compile(optimizer=keras.optimizers.Adam(1e-3), loss=nll)
    return network, batches(rows, VAE_BATCH).map(lambda x: (x, x))


def main() -> None:
    name, path = sys.argv[1:]
    parts = np.load(path)
    rows = sparse.csr_array(
        (parts["data"], parts["indices"], parts["indptr"]),
        shape=(len(parts["indptr"]) - 1, int(parts["n_items"])),
    )
    network, data = {"autoencoder": autoencoder, "mult_vae": mult_vae}[name](rows)
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        network.fit(data, epochs=1, verbose=0)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
