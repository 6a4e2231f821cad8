"""Two NOMAD grids beside an asset of the project's own."""
