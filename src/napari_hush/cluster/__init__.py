"""Work shared among processes and machines: workers of Dask, or the shards of a job array."""
