"""The child process that decodes: one answer for each image, until its parent closes the pipe."""

import json
import subprocess
import sys
from dataclasses import asdict

from covid_xray.images.sandbox import READY, SIZES, send
from covid_xray.limits import Limits
from support import drawing


def test_it_answers_images_and_refusals_and_ends_with_the_pipe() -> None:
    command = [sys.executable, "-P", "-m", "covid_xray.images.decoding_child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.read(len(READY)) == READY
        answers = []
        for data in (drawing.png(drawing.picture(40, 34)), b"junk"):
            send(child.stdin, asdict(Limits()), data)
            child.stdin.flush()
            head, payload = SIZES.unpack(child.stdout.read(SIZES.size))
            answers.append((json.loads(child.stdout.read(head)), len(child.stdout.read(payload))))
        child.stdin.close()
        assert child.wait(timeout=60) == 0
    (image, pixels), (refusal, nothing) = answers
    assert (image["shape"], image["bits"], pixels) == ([40, 34], 8, 40 * 34)
    assert (refusal["code"], nothing) == ("not-an-image", 0)
