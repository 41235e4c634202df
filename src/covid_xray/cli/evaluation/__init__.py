"""Commands that judge a network."""
