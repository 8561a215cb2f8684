"""Runs side by side: listed and filtered, two compared, handed to MLflow."""
