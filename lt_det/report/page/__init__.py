"""The report page: one html file that shows a run, from the files of the run alone."""
