"""The contract of a model: hyper-parameters declared once, rows in, scores out."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, NamedTuple, Self, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from recsys_lib import artifacts
from recsys_lib._system import available_memory, cores
from recsys_lib.checks import (
    CSR,
    Floats,
    Integers,
    Ints,
    check_choice,
    check_fraction,
    check_integer,
    check_is_fitted,
    check_kind,
    check_memory,
    check_nonnegative,
    check_positions,
    check_positive,
    check_ratings,
    check_room,
    check_user_items,
)
from recsys_lib.dataset import Fold
from recsys_lib.errors import ArtifactError, ConfigError, warn
from recsys_lib.formatting import Shown
from recsys_lib.naming import did_you_mean
from recsys_lib.progress import track
from recsys_lib.ranking import Block, Items, TopK, blocks_of, each_alone, slices, top_k_of

Arrays = dict[str, NDArray[Any]]
Rules = Mapping[str, Callable[[str, Any], None]]

_STUB = Path(__file__).with_name("__init__.pyi").read_text(encoding="utf-8")
#: The module of each model, by the name of its class, as the stub of the package names them: what
#: `load`, a search and the contract tests know.
MODELS: dict[str, str] = {
    name: f"recsys_lib.models.{module}"
    for module, name in re.findall(r"from \.(\w+) import (\w+)", _STUB)
    if module != "base"
}


def check_widths(name: str, widths: Sequence[int], *, least: int = 0) -> None:
    """Raise unless `widths` is a tuple (or list) of at least so many integers >= 1.

    Examples
    --------
    >>> check_widths("hidden_dims", 600)
    Traceback (most recent call last):
    TypeError: `hidden_dims` must be a tuple of layer widths; got 600. Try (600,).
    """
    if not isinstance(widths, tuple | list):
        raise TypeError(f"`{name}` must be a tuple of layer widths; got {widths!r}. Try (600,).")
    if len(widths) < least:
        raise ValueError(f"`{name}` must have a hidden layer; got {widths!r}. Try (600,).")
    for place, width in enumerate(widths):
        check_integer(f"{name}[{place}]", width, minimum=1)


_check_share = partial(check_fraction, closed=True)

# What a setting must be, by its name: one word means one thing in every model.
RULES: Rules = {
    **dict.fromkeys(("alpha", "l2", "learning_rate", "minutes", "sharpness"), check_positive),
    **dict.fromkeys(("average", "dropout", "input_dropout"), _check_share),
    **dict.fromkeys(("anneal_steps", "seed"), check_integer),
    "focal_alpha": check_fraction,
    "hidden_dims": check_widths,
}
# And by its type, where no name says more: an integer is >= 1, a number >= 0.
_BY_TYPE: dict[Any, Callable[[str, Any], None]] = {
    int: partial(check_integer, minimum=1),
    float: check_nonnegative,
}
# Multiplications a second on two CPU cores, measured on 2,100 users x 10,000 items.
_SPEED = 3e10
# Of the free memory, for one model: two are held at once, and scores besides.
_SHARE_OF_MEMORY = 0.25
# Rows that are listed at once, on which the lists do not depend.
_BATCH = 512
# Scores held at once by models that score all items: half a gigabyte.
_ROOM = 2**27
# The arrays of a CSR, as they are saved.
_CSR = ("data", "indices", "indptr")


class Cost(NamedTuple):
    """What a fit takes, about: its multiplications, and the bytes of the model."""

    multiplications: float
    n_bytes: float

    @property
    def minutes(self) -> float:
        """Return the minutes that this takes on two CPU cores."""
        return self.multiplications / _SPEED / 60

    def excess(self, minutes: float) -> str:
        """Return in words what is too much, be it time or a quarter of the free memory, or ""."""
        if self.minutes > minutes:
            said = f"{self.minutes:{',.0f' if self.minutes >= 1 else '.1g'}}"
            return f"about {said} minute{'s' * (said != '1')} a fit"
        if self.n_bytes > _SHARE_OF_MEMORY * available_memory():
            return f"about {self.n_bytes / 1e9:,.1f} GB a model"
        return ""


@dataclass(kw_only=True)
class Recommender(Shown):
    """Base of every model.

    A model scores *rows*, not user ids: users seen in training, unseen users, evaluated, served
    and what-if users all take the same path. Subclasses are keyword-only dataclasses whose fields
    are the hyper-parameters, and implement `_fit` and `_score`. What they learn is a field whose
    name ends in ``_``; arrays, CSR arrays and numbers among them are saved without more
    ado, and so are the parts of a dataclass and what has ``arrays()``, which `_restore` then has to
    read.

    Attributes
    ----------
    n_items_ : int
        Number of item columns the model was fitted on.
    saw_likes_ : bool or None
        Whether all it was fitted on were ones, so that rows to score should be, too; None where
        that is not known.
    """

    #: "rating": scores are in rating units, so a rating error has a meaning. "rank": order only.
    predicts: ClassVar[Literal["rating", "rank"]] = "rank"

    #: Whether the scores of a row are the sums of those of its entries, unless it is empty.
    _is_linear: ClassVar[bool] = False
    #: Whether batches of rows may be scored by several threads at once.
    _in_threads: ClassVar[bool] = False
    #: What a setting must be, by its name.
    _rules: ClassVar[Rules] = RULES
    #: Names that settings had before, each with the name of today; see `renamed`.
    _renamed: ClassVar[Mapping[str, str]] = {}

    n_items_: int = field(init=False, repr=False, compare=False)
    saw_likes_: bool | None = field(init=False, repr=False, compare=False, default=None)

    def fit(self, user_items: CSR, *, validation: Fold | None = None) -> Self:
        """Fit from scratch.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items), float32
            Stored entries are observations. Not modified.
        validation : Fold, optional
            Held-out users or ratings. Models that train in epochs use it for early stopping; others
            ignore it.

        Returns
        -------
        Self

        Raises
        ------
        TypeError, ValueError
            If the matrix or a hyper-parameter is invalid.
        """
        x = self._checked(user_items, validation)
        with track(type(self).__name__):
            self._fit(x, validation)
        self.n_items_ = int(x.shape[1])
        return self

    def score(self, user_items: CSR, *, items: Items = slice(None)) -> Floats:
        """Score items for each row.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32
            What is known of each user; rows may be users never seen in `fit`, or empty.
        items : slice or ndarray of int
            Positions of the items to score; by default all. Models with factors or sparse weights
            compute no others.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
            Finite; higher is better. Dense: pass a batch of rows, or use `recommend`.

        Raises
        ------
        NotFittedError
            If the model has not been fitted.
        ValueError
            If the number of columns differs from the one in `fit`, or `items` are no positions.
        """
        x = self._read(user_items)
        if isinstance(items, slice) and items == slice(None):
            return np.asarray(self._score(x), dtype=np.float32)
        if not isinstance(items, slice):
            items = check_positions("items", items, self.n_items_)
        return self._blocks(x)(items)

    def score_blocks(self, user_items: CSR) -> Block:
        """Return a function that scores items for these rows, block by block.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32

        Returns
        -------
        callable
            Takes a slice or positions of items; returns (n_rows, n_block), float32, in memory of
            its own. What does not depend on the block, such as factors of the rows, is done once.
        """
        return self._blocks(self._read(user_items))

    def recommend(
        self, user_items: CSR, k: int = 10, *, exclude_seen: bool = True, seed: int = 0
    ) -> TopK:
        """Rank the `k` best items for each row; only a block of rows and items is ever dense.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32
            What is known of each user.
        k : int
            List length, >= 1; a list with fewer candidates is padded with item -1, score -inf.
        exclude_seen : bool
            Leave out the items stored in the row.
        seed : int
            Orders equal scores.

        Returns
        -------
        TopK
            `items` int32 and `scores` float32, both of shape (n_rows, k).
        """
        x = self._read(user_items)
        check_room(x.shape[0], k, x.shape[1])
        items = np.full((x.shape[0], k), -1, dtype=np.int32)
        scores = np.full((x.shape[0], k), -np.inf, dtype=np.float32)

        def rank(rows: slice) -> None:
            seen = x[rows]
            items[rows], scores[rows] = top_k_of(
                self._blocks(seen), seen.shape, k, exclude=seen if exclude_seen else None, seed=seed
            )

        each_batch(self, rank, x.shape, _BATCH)
        return TopK(items, scores)

    def _read(self, user_items: CSR) -> CSR:
        """Return rows to be scored, checked; warn of other numbers than those of the fit."""
        check_is_fitted(self, "n_items_")
        x = check_user_items(user_items, n_items=self.n_items_)
        if self.saw_likes_ and (x.data != 1).any():
            warn(
                f"`user_items` must hold likes, each a 1, as those that {type(self).__name__} was "
                f"fitted on; values are from {x.data.min():g} to {x.data.max():g}. Give rows of "
                "`dataset.likes(...)`, or fit `models.on_likes.OnLikes` on the ratings."
            )
        return x

    def item_similarity(self, items: Sequence[int]) -> Floats | None:
        """Return how alike items are by what the model has learned of them.

        Parameters
        ----------
        items : sequence of int
            Positions.

        Returns
        -------
        ndarray of shape (len(items), n_items), float32, or None
            In [-1, 1], 1 for an item and itself: cosines of the model's item vectors, or what its
            weights say. 0 for items that nobody used. None from a model that does not relate items.

        Notes
        -----
        For cosines, ``len(items) * n_items`` products of vectors.

        Examples
        --------
        >>> from recsys_lib.models import PureSVD
        >>> likes = sparse.csr_array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]])
        >>> PureSVD(latent_dim=2).fit(likes).item_similarity([0]).round(2) + 0
        array([[1., 1., 0., 0.]], dtype=float32)
        """
        check_is_fitted(self, "n_items_")
        chosen = check_positions("items", items, self.n_items_)
        found = self._relate(chosen)
        if found is not None:
            found = np.clip(found, -1, 1).astype(np.float32)
            found[np.arange(len(chosen)), chosen] = 1
        return found

    def updated(self, before: CSR, after: CSR) -> Self | None:
        """Return this model as it would be fitted on rows that have grown, if that is exact.

        Parameters
        ----------
        before : csr_array of shape (n_users, n_items), float32
            What it was fitted on.
        after : csr_array, float32
            At least as many users and items, those of `before` first.

        Returns
        -------
        Self or None
            A model with the settings that suited `before`; None from a model that only a fit can
            change, which folds new rows in as they are, and where `before` are other rows.
        """
        return None

    def cost(self, user_items: CSR) -> Cost:
        """Return about what a fit would take, before it starts.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items), float32
            The training rows.

        Returns
        -------
        Cost
            Of the step that grows fastest: an inverse, dense layers, factors. 0 from models whose
            fit is about as long as reading the rows.

        Examples
        --------
        >>> from recsys_lib.models import EASE
        >>> EASE().cost(sparse.csr_array((2_000, 1_000))).multiplications
        500000000.0
        """
        return Cost(0.0, 0.0)

    def gains(self, row: CSR, items: Integers) -> Floats | None:
        """Return how much each entry of a row raises some scores, where a formula says it.

        Parameters
        ----------
        row : csr_array of shape (1, n_items), float32
            A history of n entries.
        items : ndarray of shape (k,), int
            Positions of the items asked about.

        Returns
        -------
        ndarray of shape (n, k), float32, or None
            Score of the whole row less that without an entry; None where both have to be scored,
            which `leave_one_out_gains` does, and where nothing would be left of the row.
        """
        if not self._is_linear or np.count_nonzero(row.data) < 2:
            return None
        return row.data[:, None] * self.score(each_alone(row.indices, row.shape[1]), items=items)

    def suited_to(self, user_items: CSR) -> Self:
        """Return an unfitted copy in which each setting that is None suits these rows.

        `fit` does the same by itself; this shows with what.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items), float32
            The training rows.

        Raises
        ------
        TypeError, ValueError
            If the matrix or a setting is invalid.

        Examples
        --------
        >>> from recsys_lib.models import EASE
        >>> EASE().suited_to(sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]]))
        EASE(l2=20.0)
        """
        self._check()
        found = self._suited(check_user_items(user_items))
        return dataclasses.replace(
            self, **{name: value for name, value in found.items() if getattr(self, name) is None}
        )

    def config(self) -> dict[str, Any]:
        """Return the hyper-parameters by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}

    def save(self, folder: Path | str, **facts: Any) -> None:
        """Write the fitted model as a folder of arrays and JSON with a manifest, atomically.

        Parameters
        ----------
        folder : Path or str
            The folder to write. An artifact already there is replaced; anything else is refused.
        **facts
            More for the manifest to record, such as the fingerprint of the training data.
        """
        check_is_fitted(self, "n_items_")
        with artifacts.atomic_folder(folder) as part:
            artifacts.write_arrays(part / "arrays.npz", **self._arrays())
            self._save_extra(part)
            artifacts.write_manifest(
                part,
                kind="model",
                model=type(self).__name__,
                config=self.config(),
                n_items=self.n_items_,
                saw_likes=self.saw_likes_,
                **facts,
            )

    def export_keras(self, path: Path | str) -> None:
        """Write what `score` does as a plain Keras model, for programs without this library.

        ``keras.models.load_model(path)``, in safe mode and on any backend, returns a model of
        stock layers: dense rows of shape (n_rows, n_items) in, their scores out. Networks and
        models that multiply the row by a matrix can be written.

        Parameters
        ----------
        path : Path or str
            Ends in ``.keras``; an older file is replaced.

        Raises
        ------
        NotFittedError
            If the model has not been fitted.
        TypeError
            If it is of another kind.
        ValueError
            If `path` ends in something else.
        MemoryError
            If there is no room for the matrix of a linear model, 4 n_items ** 2 bytes, twice.
        ArtifactError
            If the file cannot be written.

        Notes
        -----
        Equal to `score` but for rounding: to 1e-5 for a model of float32. A dense row has no stored
        zeros: a 0 is an item that the user has not rated. Seen items are scored like all others;
        leaving them out is up to the program. `save` keeps what `models.load` needs, this keeps the
        scores only.

        Examples
        --------
        >>> import tempfile
        >>> from recsys_lib.models import EASE
        >>> from recsys_lib.training import keras
        >>> likes = sparse.csr_array([[1, 1, 0], [0, 1, 1]], dtype="float32")
        >>> model = EASE().fit(likes)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.export_keras(f"{folder}/scores.keras")
        ...     plain = keras.models.load_model(f"{folder}/scores.keras")
        >>> bool(np.allclose(plain(likes.toarray()), model.score(likes), atol=1e-5))
        True
        """
        check_is_fitted(self, "n_items_")
        from recsys_lib.training.scoring import export_scores

        export_scores(self._symbolic, self.n_items_, path)

    @classmethod
    def _from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return an unfitted model from what `config` said, be it in the names of before."""
        # JSON knows lists only; tuples keep dataclasses comparable.
        return cls(
            **{
                cls._renamed.get(name, name): tuple(value) if isinstance(value, list) else value
                for name, value in config.items()
            }
        )

    @classmethod
    def _load(cls, folder: Path, record: dict[str, Any]) -> Self:
        """Rebuild a fitted model from a verified folder."""
        try:
            model = cls._from_config(record["config"])
            model.n_items_, model.saw_likes_ = int(record["n_items"]), record.get("saw_likes")
            model._restore(artifacts.read_arrays(folder / "arrays.npz"))
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"{folder} must hold a {cls.__name__} of this version; {error}. Fit it again, or "
                "load and save it with version 0.2, which reads what 0.1 wrote."
            ) from error
        model._load_extra(folder)
        return model

    def _checked(self, user_items: Any, validation: Fold | None) -> CSR:
        """Return the training rows; raise where they, the fold or a setting cannot be used."""
        x = check_user_items(user_items)
        if min(x.shape) == 0:
            raise ValueError(f"`user_items` must have users and items; got shape {x.shape}.")
        if validation is not None:
            check_kind("validation", validation, Fold)
            check_user_items(validation.fold_in, n_items=x.shape[1], name="validation.fold_in")
            check_user_items(validation.targets, n_items=x.shape[1], name="validation.targets")
        self._check()
        if self.predicts == "rating":
            check_ratings(x)
            self._warn_of_one_rating(x)
        self.saw_likes_ = bool((x.data == 1).all()) if x.nnz else None
        vars(self).pop("n_items_", None)  # not fitted until the end: what is half done fits nothing
        return x

    def _warn_of_one_rating(self, x: CSR) -> None:
        """Warn where all ratings are equal: predicting them says nothing about items."""
        if x.nnz > 1 and (x.data == x.data[0]).all():
            warn(
                f"`user_items` must hold ratings that differ for {type(self).__name__}, which "
                f"predicts them; all {x.nnz:,} are {x.data[0]:g}. Fit a model that ranks likes, "
                "such as EASE or Autoencoder(loss_on='all')."
            )

    def _check(self) -> None:
        """Raise unless each setting is what its name and its type ask for."""
        for setting in dataclasses.fields(self):
            if not setting.init:
                continue
            value, kinds = getattr(self, setting.name), [setting.type]
            if get_origin(setting.type) is Literal:
                check_choice(setting.name, value, get_args(setting.type))
                continue
            if isinstance(setting.type, UnionType):
                kinds = [*get_args(setting.type)]
            rule = self._rules.get(setting.name, _BY_TYPE.get(kinds[0]))
            if rule and not (value is None and type(None) in kinds):
                rule(setting.name, value)

    def _facts(self) -> dict[str, Any]:
        n_items = getattr(self, "n_items_", None)
        return {"fitted": "no" if n_items is None else f"on {n_items:,} items", **self.config()}

    def _suited(self, x: CSR) -> dict[str, Any]:
        """Return what the settings that may be None are on checked rows."""
        return {}

    def _fit(self, x: CSR, validation: Fold | None) -> None:
        """Learn from checked rows; set the learned attributes."""
        raise NotImplementedError

    def _score(self, x: CSR) -> Floats:
        """Score checked rows, densely."""
        return self._blocks(x)(slice(None))

    def _blocks(self, x: CSR) -> Block:
        """Return what scores checked rows on a block of items; by default all are scored first."""
        return blocks_of(np.asarray(self._score(x), dtype=np.float32))

    def _symbolic(self, rows: Any) -> Any:
        """Return the scores of symbolic rows (`training.scoring.DenseRows`), in `keras.ops`."""
        if not self._is_linear:
            raise TypeError(
                "`export_keras` needs a network or a model that multiplies rows by a matrix; "
                f"{type(self).__name__} is neither. Serve it with `Bundle.to_mlflow`."
            )
        from recsys_lib.training.scoring import answered, linear

        n = self.n_items_
        remedy = "Serve the model with `Bundle.to_mlflow`."
        check_memory(8 * n * n, f"The matrix of {n} x {n} items, twice,", remedy)
        weights = self._score(sparse.eye_array(n, dtype=np.float32, format="csr"))
        popular = self.item_shares_  # type: ignore[attr-defined]
        return answered(rows, linear(rows.values, weights), popular)

    def _relate(self, items: Ints) -> NDArray[np.floating[Any]] | None:
        """Return the similarities of some items to all, as of `item_similarity`."""
        vectors = self._item_vectors()
        if vectors is None:
            return None
        products, squares = vectors[items] @ vectors.T, vectors * vectors
        if sparse.issparse(products):
            products = products.toarray()
        lengths = np.sqrt(np.asarray(squares.sum(axis=1), dtype=np.float64)).ravel()
        scale = np.outer(lengths[items], lengths)
        return np.divide(products, scale, out=np.zeros(products.shape), where=scale > 1e-12)

    def _item_vectors(self) -> Any:
        """Return vectors (n_items, width) whose cosines tell how alike items are, if there are."""
        return getattr(self, "item_factors_", None)

    def _arrays(self) -> Arrays:
        """Return what `_restore` needs, as arrays without objects."""
        return packed({name: getattr(self, f"{name}_") for name in self._learned()})

    def _restore(self, arrays: Arrays) -> None:
        """Set the learned attributes from `_arrays`."""
        for name, value in unpacked(arrays, self._learned(), self.n_items_).items():
            setattr(self, f"{name}_", value)

    def _learned(self) -> list[str]:
        """Return the names of the learned attributes, without their ``_``."""
        fields = [f.name for f in dataclasses.fields(self) if not f.init]
        told = ("n_items_", "saw_likes_")  # by the manifest
        return [name[:-1] for name in fields if name.endswith("_") and name not in told]

    def _save_extra(self, folder: Path) -> None:
        """Write files beside the arrays, such as Keras weights."""

    def _load_extra(self, folder: Path) -> None:
        """Read what `_save_extra` wrote."""


def packed(values: Mapping[str, Any]) -> Arrays:
    """Return arrays, CSR arrays and numbers as named arrays; parts of what is made of them."""
    arrays: Arrays = {}
    for name, value in values.items():
        if isinstance(value, sparse.csr_array):
            arrays |= {f"{name}_{part}": getattr(value, part) for part in _CSR}
        elif isinstance(value, np.ndarray | np.number | int | float):
            arrays[name] = np.asarray(value)
        elif hasattr(value, "arrays"):
            arrays |= value.arrays()
        elif dataclasses.is_dataclass(value):
            arrays |= packed(vars(value))
    return arrays


def unpacked(arrays: Arrays, names: Iterable[str], n_columns: int) -> dict[str, Any]:
    """Return by name what `packed` was given, as far as it is there; numbers become float."""
    values: dict[str, Any] = {}
    for name in names:
        if name in arrays:
            value = arrays[name]
            values[name] = value if value.ndim else float(value)
        elif f"{name}_indptr" in arrays:
            data, indices, indptr = (arrays[f"{name}_{part}"] for part in _CSR)
            shape = (len(indptr) - 1, n_columns)
            values[name] = sparse.csr_array((data, indices, indptr), shape=shape)
    return values


def model_class(name: str) -> type[Recommender]:
    """Return the class of a model.

    Parameters
    ----------
    name : str
        One of `MODELS`.

    Returns
    -------
    type
        A subclass of `Recommender`.

    Raises
    ------
    ConfigError
        If there is no such model; it lists the known names.

    Examples
    --------
    >>> model_class("Popularity").__name__
    'Popularity'
    """
    if name not in MODELS:
        known, near = ", ".join(sorted(MODELS)), did_you_mean(str(name), MODELS)
        raise ConfigError(f"A model must be one of {known}; got {name!r}.{near}")
    found: type[Recommender] = getattr(import_module(MODELS[name]), name)
    return found


def load(folder: Path | str) -> Recommender:
    """Load the model that `Recommender.save` wrote to `folder`.

    Parameters
    ----------
    folder : Path or str

    Returns
    -------
    Recommender
        Fitted; it gives the same lists as the model that was saved.

    Raises
    ------
    ArtifactError
        If the folder is missing, damaged, or holds something else.
    """
    record = artifacts.read_manifest(folder, kind="model")
    return model_class(record["model"])._load(Path(folder), record)


def leave_one_out_gains(
    model: Recommender, row: CSR, items: Integers, *, among: Integers | None = None
) -> Floats:
    """Return how much each item of a history raises the scores of some items.

    Parameters
    ----------
    model : Recommender
        Fitted; any model, since only its scores are used.
    row : csr_array of shape (1, n_items)
        The history, of n entries.
    items : ndarray of shape (k,), int
        Positions of the items asked about.
    among : ndarray of shape (n,), int, optional
        Places of the entries asked about, in `row.indices`; by default all.

    Returns
    -------
    ndarray of shape (n, k), float32
        Score with the whole history less score without entry i.

    Notes
    -----
    Scores n + 1 rows, but where the model knows the `gains` without.

    Examples
    --------
    >>> from recsys_lib.models import EASE
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype="float32")
    >>> model = EASE(l2=1.0).fit(likes)
    >>> leave_one_out_gains(model, likes[[2]], np.array([0])).round(2)
    array([[ 0.55],
           [-0.18]], dtype=float32)
    """
    row = check_user_items(row, n_items=model.n_items_)
    places = np.arange(row.nnz) if among is None else among
    known = model.gains(row, items)
    if known is not None:
        return known[places]
    copies, entries = np.nonzero(np.arange(row.nnz)[None, :] != places[:, None])
    parts = (row.data[entries], (copies, row.indices[entries]))
    without = sparse.csr_array(parts, shape=(len(places), row.shape[1]))
    return model.score(row, items=items) - model.score(without, items=items)


def each_batch(
    model: Any, work: Callable[[slice], None], shape: tuple[int, int], batch_size: int
) -> None:
    """Call `work` for each batch of rows of a matrix, on all cores where the model allows it.

    A model that scores all items at once gets batches of half a gigabyte of scores at most.
    """
    check_integer("batch_size", batch_size, minimum=1)
    n_rows, n_items = shape
    if getattr(type(model), "_blocks", Recommender._blocks) is Recommender._blocks:
        batch_size = max(1, min(batch_size, _ROOM // max(n_items, 1)))
    batches = slices(n_rows, batch_size)
    if not getattr(model, "_in_threads", False) or len(batches) < 2:
        for rows in batches:
            work(rows)
        return
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as threads:
        list(threads.map(work, batches))
