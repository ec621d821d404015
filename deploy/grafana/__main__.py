"""python -m deploy.grafana: writes the dashboards of the code to their JSON files."""

from deploy.grafana.overview import FILE, text

FILE.write_text(text(), encoding="utf-8")
