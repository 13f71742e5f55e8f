"""What only a GPU can answer about this package, in under eight minutes on one H100.

    python benchmarks/gpu.py --out results.jsonl
    python benchmarks/gpu.py --only agreement "llava, 1"    # those whose names begin so
    python benchmarks/gpu.py --tiny                         # all of it on a CPU, with tiny models and pools

Each measurement prints one JSON line as soon as it is done. They run in a process next to this one, which is
started again if one of them kills it or takes too long, so that none stops those after it. Models have random
weights and the shapes of LLaVA-1.5-7B and Qwen2.5-VL-3B; images have as many tokens as theirs.
`benchmarks/gpu_tables.py` turns the lines into the tables of docs/; benchmarks/README.md says how to run this
on a bare machine.
"""

import argparse
import json
import os
import queue
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Takes one line after the other from a worker."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--tiny", action="store_true", help="on a CPU, with tiny models and pools")
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of the measurements' names")
    parser.add_argument("--out", type=Path, help="a file that gets the lines too")
    parser.add_argument("--limit", type=float, default=240, help="seconds for one measurement")
    parser.add_argument("--deadline", type=float, default=470, help="seconds after which none is started")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        from on_gpu.worker import work

        work(args.tiny, args.only)
        return

    def report(line: dict[str, Any]) -> None:
        text = json.dumps(line)
        print(text, flush=True)
        if args.out:
            with args.out.open("a") as file:
                file.write(text + "\n")

    def start(names: list[str]) -> Worker:
        return Worker([__file__, "--worker", *(["--tiny"] if args.tiny else []), "--only", *names])

    begun = time.monotonic()
    worker = start(args.only)
    machine = worker.receive(args.limit)
    names = machine.pop("names", [])
    words = [args.out.name if args.out and word == str(args.out) else word for word in sys.argv]
    report(machine | {"command": shlex.join(["python", *words])})
    while names:
        left = args.deadline - (time.monotonic() - begun)
        if left <= 0:
            line: dict[str, Any] = {"skipped": f"not begun within {args.deadline:.0f} s"}
        else:
            line = worker.receive(args.limit)
        report({"measurement": names.pop(0)} | line)
        if names and not worker.alive:
            worker = start(names)
            worker.receive(args.limit)
    worker.stop()
    report({"seconds in all": round(time.monotonic() - begun, 1)})


class Worker:
    """A process that does measurements and sends a line for each, and one about the machine before.

    Args:
        script: a Python script with its arguments.
    """

    def __init__(self, script: list[str]) -> None:
        self._process = subprocess.Popen([sys.executable, *script], stdout=subprocess.PIPE, text=True)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.alive = True
        threading.Thread(target=self._listen, daemon=True).start()

    def receive(self, seconds: float) -> dict[str, Any]:
        """The next line, or an error if the process ends or takes longer; it is not alive then."""
        try:
            text = self._lines.get(timeout=seconds)
        except queue.Empty:
            self.stop()
            return {"error": f"took more than {seconds:.0f} s"}
        if text is None:
            self.stop()
            return {"error": f"the process ended with {self._process.returncode}"}
        line: dict[str, Any] = json.loads(text)
        return line

    def stop(self) -> None:
        """Ends the process."""
        self.alive = False
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for text in lines:
                self._lines.put(text)
        self._lines.put(None)


if __name__ == "__main__":
    # Before torch is imported: models of several shapes follow each other on the card.
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    main()
