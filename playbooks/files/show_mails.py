"""Shows the mails in a folder of .eml files, the newest last: show_mails.py FOLDER [HOW MANY]."""

from __future__ import annotations

import email
import email.policy
import pathlib
import sys


def main(folder: str, count: str = "10") -> int:
    path = pathlib.Path(folder)
    if not path.is_dir():
        print(f"There is no folder {path}: is the site there, and its wordpress_mail set to catch?", file=sys.stderr)
        return 1
    found = sorted(path.glob("*.eml"))
    for file in found[-int(count) :]:
        message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        body = message.get_body(("plain", "html"))
        print(f"=== {file.name}\nFrom: {message['From']}\nTo: {message['To']}\nSubject: {message['Subject']}\n")
        print(body.get_content().strip() if body else "(no text)", end="\n\n")
    print(f"{len(found)} mails in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
