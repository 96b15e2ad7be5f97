"""Training, prediction, summaries, model folders and checks before the first step."""
