"""Base of models with a Gaussian code: encode rows, decode codes."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recsys_lib.checks import check_integer, check_is_fitted, check_user_items
from recsys_lib.models.neural import NeuralRecommender
from recsys_lib.seeding import rng_from

__all__ = ["Code", "VariationalRecommender"]

Floats = NDArray[np.float32]

_ROWS = 4096  # codes that are decoded at once where a caller brings many


class Code(NamedTuple):
    """The encoding of each row: a normal distribution over codes.

    Attributes
    ----------
    mean, log_variance : ndarray of shape (n_rows, latent_dim), float32
        Of independent dimensions.
    """

    mean: Floats
    log_variance: Floats

    def sample(self, n: int = 1, *, seed: int = 0) -> Floats:
        """Draw codes.

        Parameters
        ----------
        n : int
            Draws for each row, >= 1.
        seed : int

        Returns
        -------
        ndarray of shape (n, n_rows, latent_dim), float32

        Examples
        --------
        >>> code = Code(np.zeros((1, 2), "float32"), np.log([[4.0, 1.0]]).astype("float32"))
        >>> code.sample(50_000).std(axis=0).round(1)
        array([[2., 1.]], dtype=float32)
        """
        check_integer("n", n, minimum=1)
        rng = rng_from(seed, "models", "code")
        noise = rng.standard_normal((n, *self.mean.shape), dtype=np.float32)
        return self.mean + np.exp(0.5 * self.log_variance) * noise


@dataclass(kw_only=True)
class VariationalRecommender(NeuralRecommender):
    """Base of the models whose code is a distribution.

    Scores are those of the mean code: `encode` and `decode` are the two halves of `score`, and
    drawing codes between them shows what the model leaves open about a user. Nothing is drawn
    unless asked for.
    """

    _encoder: Any = field(init=False, repr=False, compare=False)

    def encode(self, user_items: sparse.csr_array) -> Code:
        """Return the distribution of each row's code.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32
            As for `score`.

        Returns
        -------
        Code
            Mean and log variance, (n_rows, latent_dim) each; of an empty row 0 and 0, the prior.

        Raises
        ------
        NotFittedError
            If the model has not been fitted.
        ValueError
            If the number of columns differs from the one in `fit`.

        Examples
        --------
        >>> from recsys_lib.models import MultVAE
        >>> likes = sparse.csr_array([[1, 1, 0], [0, 1, 1], [0, 0, 0]], dtype="float32")
        >>> model = MultVAE(hidden_dims=(), latent_dim=2, epochs=1).fit(likes)
        >>> code = model.encode(likes)
        >>> code.mean.shape, bool(code.log_variance[2].any())
        ((3, 2), False)
        >>> bool(np.allclose(model.decode(code.mean), model.score(likes), atol=1e-5))
        True
        """
        check_is_fitted(self, "n_items_")
        x = check_user_items(user_items, n_items=self.n_items_)
        both = self._encoder(x)
        return Code(both[:, : self.latent_dim], both[:, self.latent_dim :])

    def decode(self, codes: ArrayLike) -> Floats:
        """Return the scores of codes.

        Parameters
        ----------
        codes : array of shape (n_rows, latent_dim)

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
            Logits.

        Raises
        ------
        NotFittedError
            If the model has not been fitted.
        ValueError
            If the codes have another width than the model's.
        """
        check_is_fitted(self, "n_items_")
        z = np.asarray(codes, dtype=np.float32)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(
                f"`codes` must have shape (n_rows, {self.latent_dim}); got {z.shape}. Pass one "
                "row a code, as of `encode`."
            )
        blocks = [z[start : start + _ROWS] for start in range(0, max(1, len(z)), _ROWS)]
        scores = [np.asarray(self.network_.decoder(block), dtype=np.float32) for block in blocks]
        return np.concatenate(scores)

    def _use(self, item_bias: Floats, *, density: float) -> None:
        from recsys_lib.training.scoring import Scorer

        super()._use(item_bias, density=density)
        self._encoder = Scorer(
            self.network_.encode,
            n_items=self.network_.n_items,
            n_out=2 * self.latent_dim,
            state=self._weights(),
            gather=self._gather,
        )
