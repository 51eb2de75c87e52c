"""Where readings come from: one file per engine, the scan of a page, fetching and polling."""
