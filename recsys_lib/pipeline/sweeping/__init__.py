"""Many runs of the chain from one grid: shared steps once, in parallel, resumable."""
