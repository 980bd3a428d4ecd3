# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  site:
    description:
      - Name of the site. Its sets lie in a folder of this name below O(root).
    type: str
    required: true
  directory:
    description:
      - Folder of the site's stack on the host, with C(web/), C(compose.yaml) and C(config/).
    type: path
    required: true
  database_container:
    description:
      - Name of the site's running database container. Its own programs make and load dumps.
    type: str
    required: true
  root:
    description:
      - Folder of all backup sets on the host.
    type: path
    default: /var/backups/dockpress
  metrics_directory:
    description:
      - Where node exporter's textfile collector reads. Where it is missing no metrics are written.
    type: path
    default: /var/lib/dockpress/metrics
  lock_timeout:
    description:
      - How many seconds to wait for whoever else changes the site as a whole.
    type: int
    default: 600
  dump_timeout:
    description:
      - The longest that making, checking or loading a dump may take, in seconds.
    type: int
    default: 14400
requirements:
  - C(tar) and C(zstd) on the managed host
"""
