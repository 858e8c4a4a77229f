# SPDX-License-Identifier: Apache-2.0
"""Parts of prepare_quickstart_data.py: manuals and summaries in, JSON Lines out."""
