"""Writes base/topics.yaml and base/users.yaml: python -m deploy.kubernetes."""

from deploy.kubernetes.kafka import FILES

for path, content in FILES.items():
    path.write_text(content(), encoding="utf-8")
