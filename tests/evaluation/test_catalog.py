"""Names of metrics."""

import pytest

from recsys_lib.errors import ConfigError
from recsys_lib.evaluation.metrics import known_metrics, parse_metric, parse_metrics


def test_every_known_name_parses_to_itself_with_a_definition_and_a_source():
    for name in known_metrics():
        metric = parse_metric(name.replace("@k", "@7"))
        assert metric.k == (7 if "@k" in name else None)
        assert metric.definition.endswith(")")


@pytest.mark.parametrize("name", ["ndgc@10", "NDCG@10", "", "accuracy", 10, None])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ConfigError, match=r"ndcg@k.*rmse|string such as 'ndcg@100'"):
        parse_metric(name)


@pytest.mark.parametrize("name", ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "ndcg@²"])
def test_a_ranking_metric_needs_a_list_length(name):
    with pytest.raises(ConfigError, match="needs a list length >= 1"):
        parse_metric(name)


def test_a_rating_error_has_no_list_length():
    with pytest.raises(ConfigError, match="has no list length"):
        parse_metric("rmse@10")


def test_no_metric_at_all_is_an_error_and_a_lone_string_is_one_metric():
    with pytest.raises(ConfigError, match="must name at least one"):
        parse_metrics([])
    assert [metric.name for metric in parse_metrics("mae")] == ["mae"]


def test_two_spellings_of_one_metric_are_one_column():
    assert [metric.name for metric in parse_metrics(["ndcg@010", "ndcg@10"])] == ["ndcg@10"]
