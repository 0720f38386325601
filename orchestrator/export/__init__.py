"""What leaves a study for other programs: trained generators as files, and trials in experiment trackers."""
