"""The application that gunicorn serves."""
import os
import time


def app(request, start):
    if request["PATH_INFO"] == "/slow":
        time.sleep(0.05)
    body = f"hello {os.getpid()}\n".encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]
