"""Discord: what a message may be, how it looks, and a page that shows it without Discord."""
