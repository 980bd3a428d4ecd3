# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.dockpress.hosting.plugins.plugin_utils._carry import CarryAction


class ActionModule(CarryAction):
    """Carries sources from the control node for C(wp_plugin)."""

    module = "wp_plugin"

    def sources(self, args: dict[str, t.Any]) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
        """See CarryAction."""
        yield from (("plugin", entry) for entry in args.get("plugins") or [] if isinstance(entry, dict))
