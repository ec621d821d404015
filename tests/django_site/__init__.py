"""The site's own models and tables, as Django makes them (domain: companies, trades, cities, reviews)."""
