"""Who may do what on Kafka: acls.csv, and the command that tells the broker."""
