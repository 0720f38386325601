"""Columns, Parquet, local folders and S3, queries."""
