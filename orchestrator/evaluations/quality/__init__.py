"""Quality and diversity of samples."""
