"""`recsys tune`: the settings of one model, searched on the data of a run."""
