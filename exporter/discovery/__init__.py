"""Where endpoints come from that nobody wrote down."""
