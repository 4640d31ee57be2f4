"""What the console asks ClickHouse, a module for each page: its SQL, and the rows it makes of the answers."""
