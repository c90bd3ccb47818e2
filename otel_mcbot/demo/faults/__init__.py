"""What can go wrong, each an async context manager of a running bot: wrong inside the block, well again after it."""
