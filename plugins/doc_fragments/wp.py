# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  container:
    description:
      - Name of a running container that has WP-CLI and the site's files, writable, such as the stack's C(cron) container.
      - Where it does not run and O(fpm_container) is given, WP-CLI gets a short-lived container of its own.
    type: str
  fpm_container:
    description:
      - Name of the site's PHP-FPM container, running or stopped.
      - A short-lived WP-CLI container takes volumes, networks, environment and user from it; the web root is writable there.
      - When code has changed, it is told to load it anew (C(SIGUSR2)).
    type: str
  image:
    description:
      - Image of the short-lived container. It needs C(php), C(timeout), C(sleep) and C(/usr/local/bin/wp).
    type: str
    default: wordpress:cli
  path:
    description:
      - The web root inside the container.
    type: str
    default: /var/www/html
  url:
    description:
      - The site's URL. In a network it says which site is meant.
    type: str
  user:
    description:
      - User (and group) inside the container, best as numbers.
      - Without it, the container's own user; where that is root, V(33:33).
    type: str
  docker_host:
    description:
      - Where the Docker engine listens, seen from the managed host.
      - If the value is not set, E(DOCKER_HOST) is taken.
    type: str
    default: unix:///var/run/docker.sock
  timeout:
    description:
      - The longest that a single WP-CLI process may take, in seconds.
    type: int
    default: 300
requirements:
  - Docker SDK for Python (Debian package C(python3-docker)) on the managed host
"""

    ATTRIBUTES = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Says what it would change and changes nothing.
  diff_mode:
    support: full
    description: Shows the state before and after.
  idempotent:
    support: full
    description: Run again with the same parameters, it changes nothing.
  platform:
    support: full
    platforms: posix
    description: Where the module runs.
  action_group:
    support: full
    description: Use C(group/dockpress.hosting.wp) in C(module_defaults) to set the options that all these modules share.
    membership:
      - dockpress.hosting.wp
"""
