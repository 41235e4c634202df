"""Fetch studies from a peer instead of receiving them."""
