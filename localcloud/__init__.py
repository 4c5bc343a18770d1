"""The embedded AWS: a moto server on 127.0.0.1 that really runs the pipeline."""
