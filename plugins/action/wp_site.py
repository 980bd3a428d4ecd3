# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.dockpress.hosting.plugins.plugin_utils._carry import CarryAction


class ActionModule(CarryAction):
    """Carries sources from the control node for C(wp_site)."""

    module = "wp_site"

    def sources(self, args: dict[str, t.Any]) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
        """See CarryAction."""
        for kind, name in (("plugin", "plugins"), ("theme", "themes")):
            yield from ((kind, entry) for entry in args.get(name) or [] if isinstance(entry, dict))
        for kind, name in (("core", "core"), ("language", "language_source")):
            if isinstance(args.get(name), dict):
                yield kind, args[name]
