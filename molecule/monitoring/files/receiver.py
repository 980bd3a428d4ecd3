"""Takes what Alertmanager sends: HTTP on 8090, SMTP on 8025. Every message becomes a line of JSON in /var/tmp/received.jsonl."""

import asyncio
import email
import email.policy
import http.server
import json
import pathlib
import threading
import time

LOCK = threading.Lock()
RECEIVED = pathlib.Path("/var/tmp/received.jsonl")


def note(kind, content):
    with LOCK, RECEIVED.open("a", encoding="utf-8") as sink:
        sink.write(json.dumps({"at": time.time(), "kind": kind, "content": content}) + "\n")


class Web(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        note(self.path.strip("/"), json.loads(body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments):
        pass


async def mail(reader, writer):
    async def say(line):
        writer.write(line.encode() + b"\r\n")
        await writer.drain()

    await say("220 receiver")
    recipients = []
    while line := (await reader.readline()).decode().strip():
        word = line.upper()
        if word.startswith("RCPT TO"):
            recipients.append(line.partition(":")[2].strip(" <>"))
        if word == "DATA":
            await say("354 go on")
            body = await reader.readuntil(b"\r\n.\r\n")
            message = email.message_from_bytes(body, policy=email.policy.default)
            text = message.get_body(("plain",)).get_content()
            note("mail", {"to": recipients, "subject": message["Subject"], "text": text})
        await say("221 bye" if word == "QUIT" else "250 ok")
        if word == "QUIT":
            break
    writer.close()


async def main():
    threading.Thread(target=http.server.ThreadingHTTPServer(("0.0.0.0", 8090), Web).serve_forever, daemon=True).start()
    async with await asyncio.start_server(mail, "0.0.0.0", 8025) as server:
        await server.serve_forever()


asyncio.run(main())
