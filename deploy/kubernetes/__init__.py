"""The system on Kubernetes; topics and users are written from schemas/topics.py and acls.csv."""
