"""Speed and memory as ratios, each pair measured side by side in one run; and how often intervals hold the truth."""
