"""Our side of the comparisons: the program made of match.c, asked line by line."""
import json
import subprocess


class Matcher:
    def __init__(self, program):
        self.proc = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     text=True, encoding="utf-8")

    def tell(self, **line):
        self.proc.stdin.write(json.dumps(line) + "\n")

    def ask(self, **line):
        self.tell(**line)
        self.proc.stdin.flush()
        answer = self.proc.stdout.readline()
        if not answer:
            raise RuntimeError(f"the program ended at {json.dumps(line)}")
        return json.loads(answer)

    def points(self, payloads):
        self.tell(points=[[i, p] for i, p in payloads.items()])

    def indexes(self, schemas):
        self.tell(indexes=schemas or {})

    def ids_of(self, f):
        return self.ask(filter=f)

    def close(self):
        self.proc.stdin.close()
        self.proc.wait()
        if self.proc.returncode != 0:
            raise RuntimeError(f"exit code {self.proc.returncode}")
