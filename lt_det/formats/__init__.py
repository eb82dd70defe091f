"""Everything that is read from disk: annotation and result files, image lists, word lists."""
