"""The search ranges of each model, with their sources.

Ends are wider than what the papers settled on: catalogs of a hundred items want other penalties
than MovieLens. What is not listed stays as it is in the model: epochs of networks, because the best
epoch is kept anyway; seeds, because choosing one is choosing luck.
"""

from recsys_lib.tuning.ranges import Options, Range

__all__ = ["EXPLICIT_ONLY", "RANGES"]

_DACREMA = "Ferrari Dacrema et al., TOIS 2021, appendix, widened"
_KOREN = "Koren, TKDD 2010, section 2.1, widened"
_LIANG = "Liang et al., WWW 2018, section 4, widened"
_STECK = "Steck, WWW 2019 and NeurIPS 2020, widened for small catalogs"
_OWN = "measured on MovieLens 1M, CiteULike-a and the default world"

_Ranges = dict[str, Range | Options]

_BIASES: _Ranges = {
    "user_damping": Range(0.5, 50.0, log=True, source=_KOREN),
    "item_damping": Range(0.5, 50.0, log=True, source=_KOREN),
}
_NEIGHBORS: _Ranges = {
    "n_neighbors": Range(5, 1000, log=True, source=_DACREMA),
    "shrinkage": Range(0.1, 1000.0, log=True, source=_DACREMA),
    "damping": Range(0.01, 3.0, log=True, source=_OWN),
}
_NETWORK: _Ranges = {
    "dropout": Range(0.1, 0.9, source=_LIANG),
    "learning_rate": Range(1e-4, 1e-2, log=True, source=_LIANG),
    "targets": Options(("all", "hidden"), source=_OWN),
}

#: Of neighborhood models; with implicit feedback these do nothing.
EXPLICIT_ONLY = frozenset({"damping", "user_damping", "item_damping"})

#: Model -> hyper-parameter -> range.
RANGES: dict[str, _Ranges] = {
    "ALS": {
        "latent_dim": Range(8, 512, log=True, source="Rendle et al., RecSys 2022"),
        "alpha": Range(0.5, 100.0, log=True, source="Hu et al., ICDM 2008 (40), and " + _OWN),
        "l2": Range(0.1, 500.0, log=True, source=_OWN),
        "epochs": Range(5, 40, log=True, source="Rendle et al., RecSys 2022 (16)"),
    },
    "Autoencoder": {
        "hidden_dims": Options(
            ((32,), (64,), (128,), (64, 32), (128, 64), (256, 128)), source=_OWN
        ),
        "input_dropout": Range(0.1, 0.9, source="Vincent et al., ICML 2008 (0.1 to 0.4), widened"),
        "dropout": Range(0.0, 0.8, source="Kuchaiev and Ginsburg 2017 (0.8)"),
        "l2": Range(1e-8, 1e-3, log=True, source=_OWN),
        "learning_rate": Range(3e-4, 1e-2, log=True, source=_OWN),
        "batch_size": Options((32, 64, 128, 256), source=_OWN),
    },
    "Bias": _BIASES,
    "BiasedSVD": {
        "latent_dim": Range(2, 128, log=True, source=_DACREMA),
        "l2": Range(1.0, 100.0, log=True, source=_OWN),
        "epochs": Range(5, 60, log=True, source=_OWN),
        **_BIASES,
    },
    "EASE": {"l2": Range(1.0, 2e4, log=True, source=_STECK)},
    "EDLAE": {
        "l2": Range(1.0, 2e4, log=True, source=_STECK),
        "dropout": Range(0.0, 0.8, source=_STECK),
        "activity_power": Range(0.0, 1.0, source=_OWN),
        "popularity_discount": Range(0.0, 0.5, source=_OWN),
    },
    "ItemKNN": {
        **_NEIGHBORS,
        "activity_power": Range(0.0, 1.5, source=_OWN),
        **_BIASES,
    },
    "KernelAE": {
        "sharpness": Range(0.25, 10.0, log=True, source=_OWN),
        "l2": Range(0.1, 1000.0, log=True, source=_OWN),
        "popularity_power": Range(0.0, 0.6, source=_OWN),
    },
    "MultDAE": {
        "latent_dim": Range(16, 512, log=True, source=_LIANG),
        "hidden_dims": Options(((), (600,)), source=_LIANG),
        "l2": Options((0.0, 1e-6, 1e-5, 1e-4), source=_LIANG + " (2e-5)"),
        **_NETWORK,
    },
    "MultVAE": {
        "latent_dim": Range(16, 512, log=True, source=_LIANG),
        "hidden_dims": Options(((200,), (600,), (600, 200)), source=_LIANG),
        "anneal_cap": Range(0.0, 1.0, source=_LIANG + " (0.2)"),
        "anneal_steps": Range(500, 200_000, log=True, source=_LIANG + " (200,000)"),
        **_NETWORK,
    },
    "PureSVD": {"latent_dim": Range(2, 350, log=True, source=_DACREMA)},
    "RecVAE": {
        "latent_dim": Range(16, 400, log=True, source="Shenbin et al., WSDM 2020 (200), widened"),
        "hidden_dim": Range(64, 1000, log=True, source="Shenbin et al., WSDM 2020 (600), widened"),
        "gamma": Range(5e-4, 5e-2, log=True, source="Shenbin et al., WSDM 2020 (0.0035 to 0.01)"),
        **_NETWORK,
    },
    "UserKNN": {**_NEIGHBORS, **_BIASES},
    "VASP": {
        "latent_dim": Range(16, 2048, log=True, source="Vancura and Kordik, ICANN 2021 (2048)"),
        "hidden_dim": Range(64, 4096, log=True, source="Vancura and Kordik, ICANN 2021 (4096)"),
        "shallow_share": Range(0.1, 1.0, source="Vancura and Kordik, ICANN 2021 (0.33)"),
        "kl_weight": Range(1e-4, 0.1, log=True, source=_OWN),
        "focal_gamma": Range(0.0, 4.0, source="Lin et al., ICCV 2017, table 1"),
        **_NETWORK,
    },
}
