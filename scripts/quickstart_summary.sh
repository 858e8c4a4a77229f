#!/usr/bin/env bash
# What `make quickstart` prints last: the table, and how to serve the model.
set -euo pipefail
cd "$(dirname "$0")/.."
echo
cat runs/quickstart/report/report.txt
cat <<'TEXT'

The same as a page: runs/quickstart/report/report.html
Where the int4 model comes from: build/gradus store lineage runs/quickstart/l2-int4

Serve it:   make serve-demo
Then ask:   curl -s localhost:8080/v1/chat/completions -H 'Content-Type: application/json' -d '{
  "model": "router", "max_tokens": 8, "temperature": 0,
  "messages": [
    {"role": "system", "content": "Name the part of the database manual that this passage comes from."},
    {"role": "user", "content": "A GIN index stores a set of pairs of a key and the rows it occurs in."}]}'
TEXT
