"""The report for directors: what is asked of ClickHouse, what is made of it, and the page that says it."""
