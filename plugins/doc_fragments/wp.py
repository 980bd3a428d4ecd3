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

    INSTALL = r"""
options:
  title:
    description: Title of the site. Needed to install.
    type: str
  admin_user:
    description: Login of the first administrator. Needed to install, and used for nothing else.
    type: str
  admin_password:
    description:
      - The first administrator's password. Needed to install; never changed again by this.
      - Any characters. It is saved the way in which WordPress' login form checks it, with quotes and backslashes slashed,
        so C(wp user check-password) may call it wrong.
    type: str
  admin_email:
    description: The first administrator's address. Needed to install.
    type: str
  multisite:
    description:
      - Whether the site is a network, and how its sites are told apart.
      - C(wp-config.php) must define the constants of a network. A single site becomes a network; the reverse is not done.
    type: str
    choices: ['no', subdirectories, subdomains]
    default: 'no'
"""

    LANGUAGE = r"""
options:
  language:
    description: The language that the site speaks, such as V(de_DE), or V(en_US). Installed where it is not there.
    type: str
  languages:
    description: Further languages to be installed.
    type: list
    elements: str
    default: []
  language_source:
    description: Where language files come from; not given, WordPress.org.
    type: dict
    suboptions:
      source:
        description: A folder or zip with C(.mo) or C(.l10n.php) files, or a URL of a zip.
        type: str
        required: true
      sha256:
        description: Checksum of the zip. A URL needs one.
        type: str
      remote_src:
        description: Whether the folder or zip lies on the managed host already.
        type: bool
        default: false
"""

    PLUGINS = r"""
options:
  plugins:
    description: Plugins, each with the state that it is to be in.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - Slug, or file (C(foo/foo.php), C(foo.php)) where a slug could mean several.
        type: str
        required: true
      state:
        description:
          - V(present) is installed, whether it is active or not. V(active) is installed and active.
          - V(latest) is installed in the newest version that WordPress.org or O(plugins[].source) has.
          - V(inactive) is installed where O(plugins[].source) or WordPress.org have it, and not active.
          - V(absent) is removed. In a network, one that another site uses is not, which is a failure.
        type: str
        choices: [present, active, inactive, absent, latest]
        default: active
      version:
        description: The version that is to be there. Not given, any will do, or with O(plugins[].source) the version in it.
        type: str
      source:
        description:
          - A folder or zip on the control node, or a URL of a zip. Not given, WordPress.org.
        type: str
      sha256:
        description: Checksum of the zip. A URL needs one.
        type: str
      remote_src:
        description: Whether the folder or zip lies on the managed host already.
        type: bool
        default: false
      network:
        description:
          - Whether it is active in the whole network. Not given, one that is active in the whole network is active, and stays so.
          - V(false) is needed to make one V(inactive) or V(absent) that is active in the whole network.
        type: bool
      auto_update:
        description: Whether WordPress updates it by itself. Not given, left as it is.
        type: bool
"""

    THEMES = r"""
options:
  themes:
    description: Themes, each with the state that it is to be in.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - Name of the folder.
        type: str
        required: true
      state:
        description:
          - V(present) is installed, whether it is active or not. V(active) is installed and active.
          - V(latest) is installed in the newest version that WordPress.org or O(themes[].source) has.
          - A theme in use is not removed unless another one is declared active, and never while another site of the network uses it.
          - V(absent) is removed.
        type: str
        choices: [present, active, absent, latest]
        default: present
      version:
        description: The version that is to be there. Not given, any will do, or with O(themes[].source) the version in it.
        type: str
      source:
        description:
          - A folder or zip on the control node, or a URL of a zip. Not given, WordPress.org.
        type: str
      sha256:
        description: Checksum of the zip. A URL needs one.
        type: str
      remote_src:
        description: Whether the folder or zip lies on the managed host already.
        type: bool
        default: false
      network:
        description: Whether the sites of the network may use it. Not given, left as it is.
        type: bool
      auto_update:
        description: Whether WordPress updates it by itself. Not given, left as it is.
        type: bool
"""

    OPTIONS = r"""
options:
  options:
    description:
      - Names and values of options, typed as in JSON. Dictionaries and lists are stored as PHP arrays; a string is stored as
        this string, even one that looks like serialized PHP or like JSON.
      - An empty dictionary and an empty list are the same in PHP. At the top, numbers and booleans become text (V(true) is
        C(1)), as in WordPress itself. The order of names in a dictionary does not count.
      - Values pass WordPress' own sanitizing; one that WordPress would replace by something else is refused.
    type: dict
    default: {}
  secret_options:
    description: Like O(options), hidden in results, logs and diffs.
    type: dict
    default: {}
  merge_options:
    description:
      - Dictionaries that are merged into what the option holds; keys that are not named stay. Lists are replaced.
      - An empty dictionary or list changes nothing where there is one; O(options) empties it. Where an option, or one of its keys, holds text
        (such as JSON), a number or an object of PHP, merging keys into it is refused.
    type: dict
    default: {}
  absent_options:
    description: Names of options that are to be gone.
    type: list
    elements: str
    default: []
  autoload:
    description: Names of options, and whether WordPress loads them with every page.
    type: dict
    default: {}
"""

    USERS = r"""
options:
  users:
    description: Accounts, by login.
    type: list
    elements: dict
    default: []
    suboptions:
      login:
        description: The login name, exactly as WordPress saves it.
        type: str
        required: true
      state:
        description: Whether it is there. In a network, V(absent) takes the account off the site, see O(users[].network).
        type: str
        choices: [present, absent]
        default: present
      email:
        description: The address. Needed to create.
        type: str
      password:
        description:
          - The password, any characters. Not given, a new account gets a long random one.
          - Saved the way in which WordPress' login form checks it.
        type: str
      update_password:
        description: Whether the password is set on accounts that are there, where it is another one.
        type: str
        choices: [on_create, always]
        default: on_create
      roles:
        description: All roles that the account has on the site. An empty list takes them away.
        type: list
        elements: str
      display_name:
        description: Name that is shown.
        type: str
      first_name:
        description: First name.
        type: str
      last_name:
        description: Last name.
        type: str
      nickname:
        description: Nickname.
        type: str
      description:
        description: Text about the person.
        type: str
      url:
        description: Web page of the person.
        type: str
      locale:
        description: Language of the dashboard for this account, empty for the site's.
        type: str
      super_admin:
        description: Whether the account administers the whole network.
        type: bool
      reassign:
        description: Login of the account that gets the content of one that is removed.
        type: str
      delete_content:
        description: Whether the content of an account that is removed is deleted with it.
        type: bool
        default: false
      network:
        description: Whether V(absent) deletes the account from the whole network.
        type: bool
        default: false
      application_passwords:
        description:
          - Names of application passwords. Those that are missing are made and returned, once.
          - A name that WordPress would save as another one (with tags, backslashes, or more than one blank in a row) is refused.
        type: list
        elements: str
        default: []
"""

    LOCK = r"""
options:
  lock:
    description:
      - The lock file on the managed host that is held while code is replaced, WordPress is installed or the database's schema changes. Where none
        of that is to be done, and in check mode, it is not taken.
      - Without it, the file that M(dockpress.hosting.wp_db_import) takes for the same site. That is the one which the label C(dockpress.lock) of
        the service C(database) beside O(container) or O(fpm_container) names, else C(/run/lock/dockpress/<site>.lock), where the site is its
        label C(dockpress.site), or its Compose project.
    type: path
  lock_timeout:
    description:
      - How long to wait for whoever holds the lock, in seconds. What had been read before is read again then.
    type: int
    default: 60
"""

    CARRIED = r"""
options:
  _carried:
    description: Internal. What the action plugin knows of sources on the control node, and where it has put them.
    type: dict
"""
